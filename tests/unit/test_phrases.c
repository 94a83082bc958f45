/* Unit tests of shared/phrases.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "shared/phrases.h"

static struct df_phrases *list_of(const char *json)
{
    struct df_phrases *phrases;
    struct df_error err = {0};
    assert_int_equal(df_phrases_parse(&phrases, json, strlen(json), &err), DF_OK);
    return phrases;
}

static void finds_whole_words_however_they_are_typed(void **state)
{
    static const struct {
        const char *list, *message;
        bool want;
    } rows[] = {
        {"[\"sold\"]", "SOLD!!", true},
        {"[\"sold\"]", "that was sold to me", true},
        {"[\"sold\"]", "unsold", false},
        {"[\"sold\"]", "soldier on", false},
        {"[\"sold\"]", "unsold, but sold later", true},
        {"[\"Big  Sale\"]", "come to the big sale now", true},
        {"[\"big sale\"]", "big old sale", false},
        {"[\"caf\\u00e9\"]", "the CAFE is open", true},
        {"[\"giveaway\"]", "giveawaaaay time", true},
        {"[\"mine\"]", "\xF0\x9D\x96\x92\xF0\x9D\x96\x8E\xF0\x9D\x96\x93\xF0\x9D\x96\x8A", true}, /* 𝖒𝖎𝖓𝖊 */
        {"[\"mine\"]", "minecraft", false},
        {"[\"\\ud83d\\udd25\"]", "so hot\xF0\x9F\x94\xA5today", true},
        {"[\"\\u8cb7\\u3046\"]", "\xE7\xA7\x81\xE3\x81\xAF\xE8\xB2\xB7\xE3\x81\x86\xE3\x82\x88", true},
        {"[\"a\",\"b\",\"third one\"]", "is it the third one?", true},
        {"[\"\"]", "anything", false},
        {"[\"   \"]", "any thing", false},
        {"\"lottery\"", "win the lottery", true},
        {"[null,5,{\"a\":\"win\"},[\"win\"],true]", "win 5 true null", false},
        {"[null,5,\"win\"]", "win", true},
        {"{\"win\":1}", "win", false},
        {"null", "null", false},
        {"7", "7", false},
        {"[]", "anything", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct df_phrases *phrases = list_of(rows[i].list);
        if (df_phrases_match(phrases, rows[i].message, strlen(rows[i].message)) != rows[i].want)
            fail_msg("row %zu: %s in %s", i, rows[i].list, rows[i].message);
        df_phrases_free(phrases);
    }
}

static void looks_through_the_whole_of_a_long_message(void **state)
{
    struct df_phrases *phrases = list_of("[\"no thanks, moderator\"]");
    static char text[16000];
    (void)state;
    for (size_t words = 0; words < 3000; words += 7) {
        size_t len = 0;
        for (size_t i = 0; i < words; i++)
            len += (size_t)snprintf(text + len, sizeof text - len, "wow ");
        assert_false(df_phrases_match(phrases, text, len));
        len += (size_t)snprintf(text + len, sizeof text - len, "no thanks, moderator and more");
        if (!df_phrases_match(phrases, text, len))
            fail_msg("after %zu words", words);
    }
    memset(text, 'x', sizeof text);
    assert_false(df_phrases_match(phrases, text, sizeof text));
    df_phrases_free(phrases);
}

static void takes_any_json_and_refuses_the_rest(void **state)
{
    struct df_phrases *phrases;
    struct df_error err = {0};
    (void)state;
    assert_int_equal(df_phrases_parse(&phrases, "[\"a", 3, &err), DF_EINPUT);
    assert_null(phrases);
    assert_false(df_phrases_match(NULL, "a", 1));
    df_phrases_free(NULL);
}

static void skips_what_is_too_much(void **state)
{
    static char json[8192];
    size_t len = (size_t)snprintf(json, sizeof json, "[\"");
    (void)state;
    memset(json + len, 'y', DF_PHRASES_MAX_LENGTH + 1);
    len += DF_PHRASES_MAX_LENGTH + 1;
    len += (size_t)snprintf(json + len, sizeof json - len, "\"");
    for (int i = 0; i < DF_PHRASES_MAX + 50; i++)
        len += (size_t)snprintf(json + len, sizeof json - len, ",\"word%d\"", i);
    (void)snprintf(json + len, sizeof json - len, "]");
    struct df_phrases *phrases = list_of(json);
    assert_true(df_phrases_match(phrases, "word0", 5));
    assert_true(df_phrases_match(phrases, "word255", 7));
    assert_false(df_phrases_match(phrases, "word256", 7));
    df_phrases_free(phrases);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_whole_words_however_they_are_typed),
        cmocka_unit_test(looks_through_the_whole_of_a_long_message),
        cmocka_unit_test(takes_any_json_and_refuses_the_rest),
        cmocka_unit_test(skips_what_is_too_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
