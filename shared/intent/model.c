/* shared/intent/model.c - maps the weight file and judges chat lines with it. */
#include "shared/intent.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/intent/features.h"
#include "shared/intent/roles.h"
#include "shared/intent/rules.h"
#include "shared/intent/text.h"
#include "shared/intent/weights.h"

#define BUYER_CONFIDENCE 0.5 /* below it the model itself says "not a buyer" */

struct df_intent_model {
    const struct df_weights *weights; /* mapped read-only */
    char name[32];
};

uint32_t df_weights_checksum(const struct df_weights *weights)
{
    const unsigned char *bytes = (const unsigned char *)weights;
    size_t skip = offsetof(struct df_weights, checksum);
    uint64_t sum = 14695981039346656037u; /* FNV-1a */

    for (size_t i = 0; i < sizeof *weights; i++) {
        if (i == skip)
            i += sizeof weights->checksum;
        sum = (sum ^ bytes[i]) * 1099511628211u;
    }
    return (uint32_t)(sum ^ sum >> 32);
}

int df_weights_are_valid(const struct df_weights *w)
{
    if (memcmp(w->magic, DF_WEIGHTS_MAGIC, sizeof w->magic) != 0 ||
        w->version != DF_WEIGHTS_VERSION || w->feature_version != DF_FEATURE_VERSION ||
        w->slots != DF_FEATURE_SLOTS || w->checksum != df_weights_checksum(w))
        return 0;
    for (int i = 0; i < DF_WEIGHTS_TYPES; i++)
        if (!isfinite(w->type_bias[i]) || !isfinite(w->type_scale[i]))
            return 0;
    for (int i = 0; i < 3; i++)
        if (!isfinite(w->offer.lift[i]))
            return 0;
    for (size_t i = 0; i < DF_OFFER_SLOTS; i++)
        if (!isfinite(w->offer.weights[i]))
            return 0;
    return isfinite(w->offer.bias) && isfinite(w->offer.of_score) && isfinite(w->offer.least) &&
           isfinite(w->buyer_bias) && isfinite(w->buyer_scale) && isfinite(w->slope) &&
           isfinite(w->offset) && w->cut > 0 && w->cut < 1;
}

double df_weights_score(const struct df_weights *w, const struct df_features *f,
                        const struct df_net_reply *reply)
{
    int32_t words = 0, chars = 0;
    size_t i = 0;

    for (; i < f->chars_from; i++)
        words += w->buyer[df_feature_slot(f, i)];
    for (; i < f->count; i++)
        chars += w->buyer[df_feature_slot(f, i)];
    return 0.5 * ((double)w->buyer_bias +
                  df_feature_norm(f) * (double)w->buyer_scale * (words + DF_CHARS_VALUE * chars)) +
           0.5 * df_net_buyer(&w->net, reply);
}

enum df_message_type df_weights_type(const struct df_weights *w, const struct df_features *f,
                                     const struct df_net_reply *reply)
{
    int32_t words[DF_WEIGHTS_TYPES] = {0}, chars[DF_WEIGHTS_TYPES] = {0};
    double norm = df_feature_norm(f), best = -INFINITY;
    int type = 0;

    for (size_t i = 0; i < f->count; i++) {
        const int8_t *of = w->types[df_feature_slot(f, i) >> DF_TYPE_FOLD];
        int32_t *sums = i < f->chars_from ? words : chars;
        for (int t = 0; t < DF_WEIGHTS_TYPES; t++)
            sums[t] += of[t];
    }
    for (int t = 0; t < DF_WEIGHTS_TYPES; t++) {
        double score = (double)w->type_bias[t] +
                       norm * (double)w->type_scale[t] * (words[t] + DF_CHARS_VALUE * chars[t]) +
                       df_net_type(&w->net, reply, t);
        if (score > best) {
            best = score;
            type = t;
        }
    }
    return (enum df_message_type)type;
}

double df_weights_probability(const struct df_weights *w, double score)
{
    return 1 / (1 + exp(-((double)w->slope * score + (double)w->offset)));
}

double df_weights_confidence(double probability, double cut)
{
    if (!(probability > 0)) /* NaN too */
        return 0;
    if (probability >= 1)
        return 1;
    if (probability < cut)
        return DF_CUT_CONFIDENCE * probability / cut;
    return DF_CUT_CONFIDENCE + (1 - DF_CUT_CONFIDENCE) * (probability - cut) / (1 - cut);
}

double df_weights_chance(double confidence, double cut)
{
    if (confidence < DF_CUT_CONFIDENCE)
        return cut * confidence / DF_CUT_CONFIDENCE;
    return cut + (1 - cut) * (confidence - DF_CUT_CONFIDENCE) / (1 - DF_CUT_CONFIDENCE);
}

/* Copies message[from..to), but never a part of a character, nor bytes that are no UTF-8. */
static void copy_item(char *out, const char *message, size_t from, size_t to)
{
    size_t n = 0;

    while (from < to) {
        size_t taken;
        uint32_t c = df_utf8_read((const unsigned char *)message + from, to - from, &taken);
        bool broken = c == 0xfffd && taken == 1;
        if (broken || c == 0) { /* a span must stay a span: give up rather than patch */
            n = 0;
            break;
        }
        if (n + taken > DF_ITEM_MAX_BYTES)
            break;
        memcpy(out + n, message + from, taken);
        n += taken;
        from += taken;
    }
    out[n] = '\0';
}

void df_weights_classify(const struct df_weights *w, const struct df_chat_line *line,
                         struct df_verdict *out)
{
    struct df_text text;
    struct df_features features;
    struct df_net_reply reply;
    enum df_role role = df_role_of(line->username, line->username_len);
    size_t from, to;
    double score, offer = 0;
    int64_t value;

    out->is_buyer = false;
    out->confidence = out->probability = 0;
    out->type = DF_GENERAL;
    out->item[0] = '\0';
    out->value_cents = DF_VALUE_NONE;
    if (role == DF_ROLE_HOST)
        return;
    df_text_read(&text, line->message, line->message_len);
    if (text.token_count == 0)
        return;
    df_features_read(&features, line, &text, role, w->common);
    df_net_read(&w->net, &text, &reply);
    score = df_weights_score(w, &features, &reply);
    value = df_offer_best(&w->offer, &text, score, &offer);
    if (value != DF_VALUE_NONE)
        score = df_offer_lift(&w->offer, score, offer);
    out->probability = df_weights_probability(w, score);
    out->confidence = df_weights_confidence(out->probability, (double)w->cut);
    /* Four digits are more than it knows, and what callers see is what the threshold is held to. */
    out->confidence = nearbyint(out->confidence * 1e4) / 1e4;
    out->is_buyer = out->confidence >= BUYER_CONFIDENCE;
    if (!out->is_buyer)
        return;
    if (value != DF_VALUE_NONE && offer >= (double)w->offer.least) {
        out->type = DF_DIRECT_PURCHASE; /* whoever names a price has committed to it */
        out->value_cents = value;
    } else {
        out->type = df_weights_type(w, &features, &reply);
    }
    if (df_item_of(&text, out->type, &from, &to))
        copy_item(out->item, line->message, from, to);
}

enum df_code df_intent_model_open(struct df_intent_model **out, const char *path,
                                  struct df_error *err)
{
    struct df_intent_model *model = NULL;
    void *map = MAP_FAILED;
    struct stat st;
    enum df_code rc;
    int fd;

    *out = NULL;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return df_error_set(err, DF_ENOTFOUND, "weights %s: %s", path, strerror(errno));
    if (fstat(fd, &st) != 0 || st.st_size != (off_t)sizeof(struct df_weights)) {
        rc = df_error_set(err, DF_EINPUT, "weights %s: not a weight file of this version", path);
        goto out;
    }
    map = mmap(NULL, sizeof(struct df_weights), PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED) {
        rc = df_error_set(err, DF_ENOMEM, "weights %s: %s", path, strerror(errno));
        goto out;
    }
    if (!df_weights_are_valid(map)) {
        rc = df_error_set(err, DF_EINPUT, "weights %s: wrong version or damaged", path);
        goto out;
    }
    model = calloc(1, sizeof *model);
    if (model == NULL) {
        rc = df_error_set(err, DF_ENOMEM, "weights: out of memory");
        goto out;
    }
    model->weights = map;
    map = MAP_FAILED;
    (void)snprintf(model->name, sizeof model->name, "local-%08x",
                   (unsigned)model->weights->checksum);
    *out = model;
    rc = DF_OK;
out:
    if (map != MAP_FAILED)
        (void)munmap(map, sizeof(struct df_weights));
    (void)close(fd);
    return rc;
}

void df_intent_model_close(struct df_intent_model *model)
{
    if (model == NULL)
        return;
    (void)munmap((void *)(uintptr_t)model->weights, sizeof *model->weights);
    free(model);
}

const char *df_intent_model_name(const struct df_intent_model *model)
{
    return model->name;
}

void df_intent_classify(const struct df_intent_model *model, const struct df_chat_line *line,
                        struct df_verdict *out)
{
    df_weights_classify(model->weights, line, out);
}

void df_intent_band(const struct df_intent_model *model, double share, double *low, double *high)
{
    df_weights_band(model->weights, share, low, high);
}

size_t df_intent_explain(const struct df_intent_model *model, const struct df_chat_line *line,
                         struct df_intent_reason *out, size_t max)
{
    return df_weights_explain(model->weights, line, out, max);
}
