/* shared/intent/text.h - a chat line as folded characters and tokens: what the rules and the model
 * look at. Pure; no allocation; any bytes are fine. Private to shared/intent. */
#ifndef SHARED_INTENT_TEXT_H
#define SHARED_INTENT_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is looked at of a message; the rest cannot change the verdict. Chat platforms stop far
 * below (200 to 500 characters), so this only bounds the cost of hostile lines. */
#define DF_TEXT_MAX_BYTES  1200
#define DF_TEXT_MAX_CHARS  480
#define DF_TEXT_MAX_TOKENS 160

enum df_token_kind {
    DF_TOKEN_WORD,
    DF_TOKEN_NUMBER, /* digits, with '.' or ',' between digits */
    DF_TOKEN_MENTION,
    DF_TOKEN_EMOJI,
    DF_TOKEN_MONEY, /* a currency sign */
    DF_TOKEN_PUNCT,
};

struct df_token {
    uint32_t hash;       /* of kind and folded characters */
    uint32_t classes;    /* DF_CLASS_*, for words */
    uint16_t start, end; /* in df_text.chars */
    uint16_t from, to;   /* bytes of the message */
    uint8_t kind;
    bool glued; /* no space between this token and the one before */
};

struct df_text {
    size_t char_count, token_count;
    size_t letters, capitals, emoji; /* in the message as written */
    bool cut;                        /* a limit above was reached */
    uint32_t chars[DF_TEXT_MAX_CHARS];
    struct df_token tokens[DF_TEXT_MAX_TOKENS];
};

/* Folds case, accents, styled and look-alike letters, shortens letters that repeat three times or
 * more, drops invisible characters, and splits into tokens. */
void df_text_read(struct df_text *text, const char *bytes, size_t bytes_len);

/* True if the folded token is exactly this lower case ASCII word. */
bool df_token_is(const struct df_text *text, const struct df_token *token, const char *word);

/* Writes the folded token as ASCII and NUL; characters beyond ASCII become '\x7f'. Longer tokens
 * are cut. */
void df_token_ascii(const struct df_text *text, const struct df_token *token, char *out,
                    size_t out_size);

/* One character of bytes[0..len): its code point (U+FFFD for a byte that starts none) and how many
 * bytes it takes (at least 1). len must not be 0. */
uint32_t df_utf8_read(const unsigned char *bytes, size_t len, size_t *taken);

/* A letter or digit, as typed, to the plain lower case form; 0 means: drop it. */
uint32_t df_char_fold(uint32_t c);

static inline uint32_t df_hash_mix(uint32_t hash, uint32_t value)
{
    hash ^= value;
    hash *= 0x9e3779b1u;
    return hash ^ hash >> 15;
}

#endif
