/* shared/intent/text.c - splits a chat line into tokens over folded characters. */
#include "shared/intent/text.h"

#include <string.h>

#include "shared/intent/lexicon.h"

enum char_kind { SPACE, LETTER, DIGIT, MONEY, EMOJI, PUNCT };

static bool is_emoji(uint32_t c)
{
    return (c >= 0x1f000 && c <= 0x1fbff) || (c >= 0x2190 && c <= 0x2bff) || c == 0x3030 ||
           c == 0x303d || c == 0x3297 || c == 0x3299 || c == 0x203c || c == 0x2049;
}

static enum char_kind kind_of(uint32_t c)
{
    if (c <= ' ' || c == 0xa0 || c == 0x3000 || (c >= 0x2000 && c <= 0x200a))
        return SPACE;
    if (c >= 'a' && c <= 'z')
        return LETTER;
    if (c >= '0' && c <= '9')
        return DIGIT;
    if (c == '$' || c == 0xa3 || c == 0x20ac || c == 0x20b1 || c == 0x20b9 || c == 0xa5)
        return MONEY; /* dollar, pound, euro, peso, rupee, yen */
    if (c < 0xaa || c == 0xab || c == 0xbb || c == 0xbf || c == 0xd7 || c == 0xf7)
        return PUNCT;
    if (is_emoji(c))
        return EMOJI;
    if (c == 0xfffd || (c >= 0x2010 && c <= 0x205f))
        return PUNCT;
    return LETTER; /* of whatever script */
}

/* Reading position: the next folded character that is seen. */
struct cursor {
    const unsigned char *bytes;
    size_t len, at; /* at: first byte of the next character */
};

struct glyph {
    uint32_t c;
    enum char_kind kind;
    bool capital;
    size_t from, to; /* bytes */
};

static bool peek(const struct cursor *cur, struct glyph *out)
{
    size_t at = cur->at;

    while (at < cur->len) {
        size_t taken;
        uint32_t raw = df_utf8_read(cur->bytes + at, cur->len - at, &taken);
        uint32_t c = df_char_fold(raw);
        if (c != 0) {
            *out = (struct glyph){c, kind_of(c), raw != c && raw < 0x80, at, at + taken};
            return true;
        }
        at += taken;
    }
    return false;
}

static void put_char(struct df_text *text, struct df_token *token, uint32_t c)
{
    size_t n = text->char_count;

    /* "soooo" is "so": the third of a kind takes back the second, and further ones are dropped. */
    if (token->kind == DF_TOKEN_WORD && n >= token->start + 2u && text->chars[n - 1] == c &&
        text->chars[n - 2] == c)
        return;
    if (n >= DF_TEXT_MAX_CHARS) {
        text->cut = true;
        return;
    }
    text->chars[n] = c;
    text->char_count = n + 1;
}

/* Whether `next` continues a token of this kind that ends with the character `last`. */
static bool continues(const struct cursor *cur, struct df_token *token, const struct glyph *next)
{
    struct glyph after;
    struct cursor ahead = *cur;

    switch (token->kind) {
    case DF_TOKEN_WORD:
        if (next->kind == LETTER)
            return true;
        if (next->c != '\'')
            return false;
        ahead.at = next->to;
        return peek(&ahead, &after) && after.kind == LETTER;
    case DF_TOKEN_NUMBER:
        if (next->kind == DIGIT)
            return true;
        if (next->c != '.' && next->c != ',')
            return false;
        ahead.at = next->to;
        return peek(&ahead, &after) && after.kind == DIGIT;
    case DF_TOKEN_MENTION:
        return next->kind == LETTER || next->kind == DIGIT || next->c == '_' || next->c == '.';
    default:
        return false;
    }
}

/* Letters three or more times in a row stand for emphasis; keep one of them. */
static void shorten(struct df_text *text, struct df_token *token, const bool *long_run)
{
    size_t out = token->start;

    for (size_t i = token->start; i < text->char_count; i++) {
        if (i > token->start && long_run[i] && text->chars[i] == text->chars[i - 1])
            continue;
        text->chars[out++] = text->chars[i];
    }
    text->char_count = out;
}

static void read_token(struct df_text *text, struct cursor *cur, struct df_token *token)
{
    bool long_run[DF_TEXT_MAX_CHARS + 1] = {false};
    bool has_long_run = false;
    size_t run = 0;
    uint32_t last = 0;
    struct glyph g;

    while (peek(cur, &g) && (token->to == token->from || continues(cur, token, &g))) {
        bool dropped = token->kind == DF_TOKEN_WORD && g.kind != LETTER; /* apostrophe */
        cur->at = g.to;
        token->to = (uint16_t)g.to;
        text->letters += g.kind == LETTER;
        text->capitals += g.capital && g.kind == LETTER;
        if (dropped)
            continue;
        run = g.c == last ? run + 1 : 1;
        last = g.c;
        put_char(text, token, g.c);
        if (run == 3 && token->kind == DF_TOKEN_WORD) {
            long_run[text->char_count - 1] = true;
            has_long_run = true;
        }
    }
    if (has_long_run)
        shorten(text, token, long_run);
}

static void finish(struct df_text *text, struct df_token *token)
{
    uint32_t hash = df_hash_mix(0x811c9dc5u, token->kind);

    token->end = (uint16_t)text->char_count;
    for (size_t i = token->start; i < token->end; i++)
        hash = df_hash_mix(hash, text->chars[i]);
    if (token->kind == DF_TOKEN_MENTION)
        hash = df_hash_mix(0x811c9dc5u, '@'); /* who is meant says nothing about intent */
    token->hash = hash;
    if (token->kind == DF_TOKEN_WORD) {
        char word[24];
        df_token_ascii(text, token, word, sizeof word);
        token->classes = df_lexicon_classes(word);
    }
}

static uint8_t token_kind(const struct cursor *cur, const struct glyph *g)
{
    struct glyph after;
    struct cursor ahead = *cur;

    ahead.at = g->to;
    if (g->c == '@' && peek(&ahead, &after) && (after.kind == LETTER || after.kind == DIGIT))
        return DF_TOKEN_MENTION;
    switch (g->kind) {
    case LETTER:
        return DF_TOKEN_WORD;
    case DIGIT:
        return DF_TOKEN_NUMBER;
    case MONEY:
        return DF_TOKEN_MONEY;
    case EMOJI:
        return DF_TOKEN_EMOJI;
    default:
        return DF_TOKEN_PUNCT;
    }
}

void df_text_read(struct df_text *text, const char *bytes, size_t bytes_len)
{
    struct cursor cur = {(const unsigned char *)bytes, bytes_len, 0};
    struct glyph g;
    bool glued = false;

    text->char_count = text->token_count = text->letters = text->capitals = text->emoji = 0;
    text->cut = bytes_len > DF_TEXT_MAX_BYTES;
    if (text->cut)
        cur.len = DF_TEXT_MAX_BYTES;
    while (peek(&cur, &g)) {
        struct df_token *token = &text->tokens[text->token_count];
        if (g.kind == SPACE) {
            cur.at = g.to;
            glued = false;
            continue;
        }
        if (text->token_count == DF_TEXT_MAX_TOKENS || text->char_count == DF_TEXT_MAX_CHARS) {
            text->cut = true;
            return;
        }
        *token = (struct df_token){.start = (uint16_t)text->char_count,
                                   .from = (uint16_t)g.from,
                                   .to = (uint16_t)g.from,
                                   .kind = token_kind(&cur, &g),
                                   .glued = glued};
        read_token(text, &cur, token);
        finish(text, token);
        text->emoji += token->kind == DF_TOKEN_EMOJI;
        glued = true;
        /* "!!!!" and a row of the same emoji count once */
        if (text->token_count > 0 && token[-1].hash == token->hash &&
            (token->kind == DF_TOKEN_PUNCT || token->kind == DF_TOKEN_EMOJI)) {
            token[-1].to = token->to;
            text->char_count = token->start;
            continue;
        }
        text->token_count++;
    }
}

bool df_token_is(const struct df_text *text, const struct df_token *token, const char *word)
{
    size_t i = token->start;

    for (; i < token->end && *word != '\0'; i++, word++)
        if (text->chars[i] != (uint32_t)(unsigned char)*word)
            return false;
    return i == token->end && *word == '\0';
}

void df_token_ascii(const struct df_text *text, const struct df_token *token, char *out,
                    size_t out_size)
{
    size_t n = 0;

    for (size_t i = token->start; i < token->end && n + 1 < out_size; i++)
        out[n++] = text->chars[i] < 0x80 ? (char)text->chars[i] : '\x7f';
    out[n] = '\0';
}
