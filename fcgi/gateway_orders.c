/* fcgi/gateway_orders.c - words that stand in prompts and hardly in the chat of a shopping show. */
#include "fcgi/gateway_orders.h"

#include <string.h>

#include "shared/intent.h"

#define FORM_MAX 1200

/* One of these is enough. Folded as df_intent_normalise folds: lower case, no accents. */
static const char *const telling[] = {
    "is_buyer",          "is buyer",         "isbuyer",          "message_type",
    "message type",      "direct_purchase",  "direct purchase",  "detect_purchase",
    "item_description",  "estimated_value",  "confidence",       "system prompt",
    "prompt injection",  "system message",   "system override",  "developer mode",
    "language model",    "as an ai",         "you are an ai",    "you are now",
    "chatgpt",           "gpt-4",            "openai",
    "classifier",       "classify",         "jailbreak",
    "tool call",         "tool_call",        "function call",    "json",
    "im_start",          "im_end",           "endoftext",        "[inst]",
    "<<sys>>",           "</system>",        "<system>",         "### system",
    "### instruction",   "begin system",     "end of chat",      "end of data",
    "clasificador",      "clasifica",        "klassifiziere",    "klassifikator",
    "classificateur",    "classificador",    "classifique",      "sei un classificatore",
    "modelo de lenguaje","sprachmodell",     "modele de langage","modelo de linguagem",
    "is_direct",         "\"role\"",         "mark as buyer",    "mark me as buyer",
    "mark me as a buyer","mark this as",     "label this",       "label me",
    "score this",        "as a buyer",       "are buyers",       "into buyers",
    "is a buyer too",    "output buyer",     "dear ai",          "to the ai",
    "next line",         "this line",        "\"content\"",      "{\"i\"",
    "<sys>",             "decode and obey",  "for this message", "mark this message",
    "buyer=true",       "buyer = true",
    "buyer: true",       "buyer:true",       "confianza",        "confianca",
    "konfidenz",         "system:",          "assistant:",       "system :",
};

/* An order needs a verb from the first list and a noun from the second. */
static const char *const verbs[] = {
    "ignore",  "disregard", "forget",   "override", "bypass", "obey",     "new",
    "ignora",  "olvida",    "ignoriere","vergiss",  "oublie", "ignorez",  "dimentica",
    "esqueca", "ignorar",   "ignorera", "negeer",   "vergeet","unohda",   "output",  "answer",
    "respond", "reply",     "return",   "responde", "antworte","reponds", "rispondi","anweisung",
};
static const char *const nouns[] = {
    "instruction", "prompt",     "the rules",  "your rules",   "all rules",    "previous rule",
    "above",       "guideline",  "instruccion", "anweisung",   "instrucao",    "instrucoes",
    "istruzion",   "instructie", "las reglas", "as regras",    "alle regeln",  "les regles",
    "le regole",   "de regels",  "true",       "verdadero",    "1.0",          "vorherige",
    "precedent",   "anterior",   "moderator",  "your task",
};

static bool has(const char *text, size_t len, const char *word)
{
    return memmem(text, len, word, strlen(word)) != NULL;
}

static bool has_any(const char *text, size_t len, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (has(text, len, words[i]))
            return true;
    }
    return false;
}

#define HAS_ANY(text, len, words) has_any(text, len, words, sizeof(words) / sizeof(words)[0])

bool mrs_orders_in(const char *text, size_t text_len)
{
    char form[FORM_MAX];
    size_t len = df_intent_normalise(text, text_len, form, sizeof form);

    if (len == 0) { /* too long to have a form: at least as typed */
        len = text_len < sizeof form ? text_len : sizeof form;
        for (size_t i = 0; i < len; i++)
            form[i] = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] + 32) : text[i];
    }
    return HAS_ANY(form, len, telling) || (HAS_ANY(form, len, verbs) && HAS_ANY(form, len, nouns));
}
