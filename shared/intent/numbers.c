/* shared/intent/numbers.c - numbers written as words, one sorted table. */
#include "shared/intent/numbers.h"

#include <string.h>

struct number_word {
    const char *word;
    int value;
};

/* Sorted by strcmp. Articles that are also "one" ("a", "un") are left out where they mislead. */
/* clang-format off */
static const struct number_word words[] = {
    {"acht", 8}, {"achtzig", 80}, {"anim", 6}, {"apat", 4}, {"benjamin", 100}, {"benji", 100},
    {"benjis", 100}, {"bente", 20}, {"bentesingko", 25}, {"catorce", 14}, {"cem", 100},
    {"cent", 100}, {"cien", 100}, {"ciento", 100}, {"cinco", 5}, {"cincuenta", 50}, {"cinq", 5},
    {"cinquante", 50}, {"cinquenta", 50}, {"cuarenta", 40}, {"cuatro", 4}, {"cuatrocientos", 400},
    {"daan", 100}, {"dalawa", 2}, {"deux", 2}, {"dez", 10}, {"dezenove", 19}, {"dezesseis", 16},
    {"dezessete", 17}, {"dezoito", 18}, {"diecinueve", 19}, {"dieciocho", 18}, {"dieciseis", 16},
    {"diecisiete", 17}, {"diez", 10}, {"disiotso", 18}, {"dix", 10}, {"doce", 12}, {"dois", 2},
    {"dos", 2}, {"doscientos", 200}, {"douze", 12}, {"doze", 12}, {"drei", 3}, {"dreissig", 30},
    {"duas", 2}, {"duzentos", 200}, {"eight", 8}, {"eighteen", 18}, {"eightty", 80}, {"eighty", 80},
    {"ek", 1}, {"eleven", 11}, {"fiddy", 50}, {"fifdy", 50}, {"fifteen", 15}, {"fiftey", 50},
    {"fifty", 50}, {"fin", 5}, {"fiteen", 15}, {"fitty", 50}, {"fiv", 5}, {"five", 5}, {"fiver", 5},
    {"fivty", 50}, {"forty", 40}, {"fortyfive", 45}, {"four", 4}, {"fourteen", 14}, {"fourty", 40},
    {"funf", 5}, {"funfzehn", 15}, {"funfzig", 50}, {"grand", 1000}, {"hazaar", 1000},
    {"hazar", 1000}, {"huit", 8}, {"hunderd", 100}, {"hundert", 100}, {"hundo", 100},
    {"hundos", 100}, {"hundrd", 100}, {"hundred", 100}, {"hundy", 100}, {"hunned", 100},
    {"hunnid", 100}, {"hunnit", 100}, {"isa", 1}, {"isang", 1}, {"kinse", 15}, {"kwarenta", 40},
    {"libo", 1000}, {"lima", 5}, {"mil", 1000}, {"mille", 1000}, {"neuf", 9}, {"neun", 9},
    {"neunzig", 90}, {"nine", 9}, {"nineteen", 19}, {"ninety", 90}, {"ninty", 90}, {"nove", 9},
    {"noventa", 90}, {"nueve", 9}, {"ochenta", 80}, {"ocho", 8}, {"oitenta", 80}, {"oito", 8},
    {"one", 1}, {"onze", 11}, {"pachas", 50}, {"pito", 7}, {"quarante", 40}, {"quarenta", 40},
    {"quatorze", 14}, {"quatre", 4}, {"quatro", 4}, {"quatrocentos", 400}, {"quince", 15},
    {"quinhentos", 500}, {"quinientos", 500}, {"quinze", 15}, {"sampu", 10}, {"sandaan", 100},
    {"sau", 100}, {"sawbuck", 10}, {"sechs", 6}, {"sechzig", 60}, {"seis", 6}, {"seize", 16},
    {"sesenta", 60}, {"sessenta", 60}, {"sete", 7}, {"setenta", 70}, {"seven", 7},
    {"seventeen", 17}, {"seventie", 70}, {"seventy", 70}, {"sevnty", 70}, {"sieben", 7},
    {"siebzig", 70}, {"siete", 7}, {"singkwenta", 50}, {"six", 6}, {"sixtee", 60}, {"sixteen", 16},
    {"sixty", 60}, {"siyam", 9}, {"soixante", 60}, {"tatlo", 3}, {"tausend", 1000}, {"ten", 10},
    {"tenner", 10}, {"tewnty", 20}, {"therty", 30}, {"thirteen", 13}, {"thirty", 30},
    {"thirtyfive", 35}, {"thousand", 1000}, {"three", 3}, {"thrity", 30}, {"trece", 13},
    {"treinta", 30}, {"treize", 13}, {"trenta", 30}, {"trentaycinco", 35}, {"trente", 30},
    {"tres", 3}, {"trescientos", 300}, {"treze", 13}, {"trezentos", 300}, {"trinta", 30},
    {"trois", 3}, {"tweleve", 12}, {"twelv", 12}, {"twelve", 12}, {"twenny", 20},
    {"twennyfive", 25}, {"twentee", 20}, {"twenty", 20}, {"twentyfive", 25}, {"two", 2}, {"uno", 1},
    {"veinte", 20}, {"veinticinco", 25}, {"veintidos", 22}, {"veintiuno", 21}, {"vier", 4},
    {"vierzig", 40}, {"vingt", 20}, {"vinte", 20}, {"walo", 8}, {"zehn", 10}, {"zwanzig", 20},
    {"zwei", 2}, {"zwolf", 12},
};
/* clang-format on */

int df_number_word(const struct df_text *text, const struct df_token *token)
{
    size_t low = 0, high = sizeof words / sizeof words[0];
    char word[16];

    if (token->kind != DF_TOKEN_WORD || token->end - token->start >= (int)sizeof word)
        return 0;
    df_token_ascii(text, token, word, sizeof word);
    while (low < high) {
        size_t mid = (low + high) / 2;
        /* most steps are decided by the first letter, without a call */
        int order = (unsigned char)words[mid].word[0] - (unsigned char)word[0];
        if (order == 0)
            order = strcmp(words[mid].word, word);
        if (order == 0)
            return words[mid].value;
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return 0;
}
