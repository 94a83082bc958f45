/* fcgi/gateway_route.c - the switches, in the order of what they cost to check. */
#include "fcgi/gateway_route.h"

#include <stdlib.h>
#include <string.h>

#include "fcgi/gateway_orders.h"

#define FORM_MAX    1200
#define WORD_MAX    64
#define WORDS_MAX   512
#define USER_MAX    128

/* What buyers say, in the languages of the shows, folded as df_intent_normalise folds. '#' stands
 * for any digit, a word at the end of "*" for all that begin with it. */
static const char default_words[] =
    "mine,buy*,bought,sold to me,claim*,take,taking,takin,want*,wanna,need*,gimme,grab*,get,order*,"
    "invoice*,hold,save me,dibs,bid*,offer*,add,bundle*,combine*,cart,checkout,purchase*,pay*,"
    "how much,price*,cost*,discount*,deal,cheaper,lower,shipping,ship*,send,size*,available,left,"
    "stock,restock*,in stock,another,more of,show,run,next,link,where can i,how do i,can i,could i,"
    "do you,does it,is it,is that,are those,are these,have,any,what,which,condition,authentic,real,"
    "worn,fit*,color,colour,me,i'll,ill,i will,sign me,count me,#,$,?,\xe2\x82\xac,\xc2\xa3,"
    "mio,mia,quiero,quisiera,compro,comprar,cuanto,precio,envio*,talla,lo tomo,me lo,apart*,"
    "meu,minha,quero,compro,quanto,preco,frete,tamanho,eu fico,"
    "meins,nehme,ich will,will ich,kaufe*,kaufen,preis,wie viel,wieviel,kostet,versand,grosse,"
    "a moi,pour moi,je prends,je veux,combien,prix,taille,livraison,acheter,j'achete,"
    "prendo,voglio,comprare,prezzo,spedizione,taglia,"
    "voor mij,ik neem,hoeveel,prijs,maat,akin,magkano,pa mine,ko po,berapa,mau,beli";

struct word {
    char text[WORD_MAX];
    size_t len;
    bool is_prefix; /* only the beginning of a word has to match */
    bool is_sign;   /* no letters: matches anywhere */
};

struct mrs_route_rules {
    bool is_hybrid;
    double low, high;
    bool has_prefilter, has_digit;
    struct word *words;
    size_t word_count;
    char *only_users, *skip_users; /* lower case comma lists, or NULL */
};

/* --- lists ------------------------------------------------------------------------------------ */

/* The next entry of a comma list, without spaces around it; false at the end. */
static bool next_entry(const char **list, const char **entry, size_t *len)
{
    while (**list != '\0') {
        const char *from = *list;
        const char *end = strchrnul(from, ',');
        *list = *end == ',' ? end + 1 : end;
        while (from < end && *from == ' ')
            from++;
        while (end > from && end[-1] == ' ')
            end--;
        *entry = from;
        *len = (size_t)(end - from);
        if (*len > 0)
            return true;
    }
    return false;
}

static bool is_word_byte(unsigned char c)
{
    return c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z');
}

static enum df_code add_word(struct mrs_route_rules *rules, const char *text, size_t len,
                             struct df_error *err)
{
    struct word *word = &rules->words[rules->word_count];

    if (len == 1 && text[0] == '#') {
        rules->has_digit = true;
        return DF_OK;
    }
    word->is_prefix = len > 1 && text[len - 1] == '*';
    if (word->is_prefix)
        len--;
    word->len = df_intent_normalise(text, len, word->text, sizeof word->text);
    if (word->len == 0) /* a sign that is no word has no form */
        return df_error_set(err, DF_EINPUT, "AI_PREFILTER: \"%.*s\" is empty or over %d bytes",
                            (int)(len < 40 ? len : 40), text, WORD_MAX);
    word->is_sign = !is_word_byte((unsigned char)word->text[0]) ||
                    (word->len <= 3 && memchr("\xe2\xc2", word->text[0], 2) != NULL);
    rules->word_count++;
    return DF_OK;
}

static enum df_code read_words(struct mrs_route_rules *rules, const char *prefilter,
                               struct df_error *err)
{
    const char *list = prefilter, *entry = NULL;
    size_t len = 0;
    enum df_code rc = DF_OK;

    if (prefilter == NULL || strcmp(prefilter, "off") == 0)
        return DF_OK;
    if (strcmp(prefilter, "on") == 0)
        list = default_words;
    rules->has_prefilter = true;
    rules->words = calloc(WORDS_MAX, sizeof *rules->words);
    if (rules->words == NULL)
        return df_error_set(err, DF_ENOMEM, "AI_PREFILTER: out of memory");
    while (rc == DF_OK && next_entry(&list, &entry, &len)) {
        if (rules->word_count == WORDS_MAX)
            return df_error_set(err, DF_EINPUT, "AI_PREFILTER: over %d words", WORDS_MAX);
        rc = add_word(rules, entry, len, err);
    }
    if (rc == DF_OK && rules->word_count == 0 && !rules->has_digit)
        rc = df_error_set(err, DF_EINPUT, "AI_PREFILTER: use off, on, or a list of words");
    return rc;
}

static enum df_code copy_users(char **out, const char *list, const char *name, struct df_error *err)
{
    const char *rest = list, *entry = NULL;
    size_t len = 0;

    if (list == NULL)
        return DF_OK;
    *out = strdup(list);
    if (*out == NULL)
        return df_error_set(err, DF_ENOMEM, "%s: out of memory", name);
    for (char *c = *out; *c != '\0'; c++)
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c + 32) : *c;
    while (next_entry(&rest, &entry, &len)) {
        if (len > USER_MAX)
            return df_error_set(err, DF_EINPUT, "%s: a name over %d bytes", name, USER_MAX);
    }
    return DF_OK;
}

enum df_code mrs_route_rules_new(struct mrs_route_rules **out,
                                 const struct mrs_route_options *options, struct df_error *err)
{
    struct mrs_route_rules *made = calloc(1, sizeof *made);

    *out = NULL;
    if (made == NULL)
        return df_error_set(err, DF_ENOMEM, "out of memory");
    made->is_hybrid = options->is_hybrid;
    enum df_code rc = read_words(made, options->prefilter, err);
    if (rc == DF_OK)
        rc = copy_users(&made->only_users, options->only_users, "AI_ONLY_USERS", err);
    if (rc == DF_OK)
        rc = copy_users(&made->skip_users, options->skip_users, "AI_SKIP_USERS", err);
    if (rc != DF_OK) {
        mrs_route_rules_free(made);
        return rc;
    }
    *out = made;
    return DF_OK;
}

void mrs_route_rules_set_band(struct mrs_route_rules *rules, double low, double high)
{
    rules->low = low;
    rules->high = high;
}

void mrs_route_rules_free(struct mrs_route_rules *rules)
{
    if (rules == NULL)
        return;
    free(rules->words);
    free(rules->only_users);
    free(rules->skip_users);
    free(rules);
}

/* --- the questions ---------------------------------------------------------------------------- */

static bool is_in_form(const struct word *word, const char *form, size_t len)
{
    const char *at = form;

    while ((at = memmem(at, len - (size_t)(at - form), word->text, word->len)) != NULL) {
        const char *end = at + word->len;
        bool begins = at == form || !is_word_byte((unsigned char)at[-1]);
        bool ends = word->is_prefix || end == form + len || !is_word_byte((unsigned char)*end);
        if (word->is_sign || (begins && ends))
            return true;
        at++;
    }
    return false;
}

bool mrs_route_has_word(const struct mrs_route_rules *rules, const struct df_chat_line *line)
{
    char form[FORM_MAX];

    if (!rules->has_prefilter)
        return true;
    size_t len = df_intent_normalise(line->message, line->message_len, form, sizeof form);
    if (len == 0)
        return line->message_len > sizeof form; /* too much to look through: ask */
    for (size_t i = 0; rules->has_digit && i < len; i++) {
        if (form[i] >= '0' && form[i] <= '9')
            return true;
    }
    for (size_t i = 0; i < rules->word_count; i++) {
        if (is_in_form(&rules->words[i], form, len))
            return true;
    }
    return false;
}

/* Case does not count, '*' at either end stands for anything. */
static bool matches(const char *name, size_t name_len, const char *entry, size_t len)
{
    bool open_start = entry[0] == '*';
    bool open_end = len > 1 && entry[len - 1] == '*';

    entry += open_start;
    len -= (size_t)open_start + (size_t)open_end;
    if (name_len < len)
        return false;
    if (open_start && open_end)
        return memmem(name, name_len, entry, len) != NULL;
    if (open_start)
        return memcmp(name + name_len - len, entry, len) == 0;
    return (open_end || name_len == len) && memcmp(name, entry, len) == 0;
}

static bool is_listed(const char *list, const struct df_chat_line *line)
{
    char name[USER_MAX];
    const char *entry = NULL;
    size_t len = 0, used = 0, from = 0;

    if (line->username_len > 0 && line->username[0] == '@') /* some platforms write it so */
        from = 1;
    for (size_t i = from; i < line->username_len && used < sizeof name; i++, used++) {
        char c = line->username[i];
        name[used] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
    }
    while (next_entry(&list, &entry, &len)) {
        size_t skip = len > 1 && entry[0] == '@' ? 1 : 0;
        if (matches(name, used, entry + skip, len - skip))
            return true;
    }
    return false;
}

bool mrs_route_wants_user(const struct mrs_route_rules *rules, const struct df_chat_line *line)
{
    if (rules->only_users != NULL && !is_listed(rules->only_users, line))
        return false;
    return rules->skip_users == NULL || !is_listed(rules->skip_users, line);
}

enum mrs_route mrs_route(const struct mrs_route_rules *rules, struct mrs_gateway *gateway,
                         const struct df_chat_line *line, const struct df_verdict *local,
                         const struct df_uuid *session, struct mrs_gateway_answer *answer)
{
    if (rules->is_hybrid && !(local->confidence >= rules->low && local->confidence < rules->high))
        return MRS_ROUTE_SURE;
    if (!mrs_route_wants_user(rules, line))
        return MRS_ROUTE_USER;
    if (!mrs_route_has_word(rules, line))
        return MRS_ROUTE_WORDS;
    if (rules->is_hybrid && (mrs_orders_in(line->message, line->message_len) ||
                             mrs_orders_in(line->username, line->username_len)))
        return MRS_ROUTE_ORDERS;
    if (mrs_gateway_recall(gateway, line, answer))
        return MRS_ROUTE_CACHED;
    if (!mrs_gateway_can_pay(gateway, session))
        return MRS_ROUTE_BUDGET;
    return MRS_ROUTE_ASK;
}
