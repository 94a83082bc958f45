/* scraper/history.c - which chat lines are new. What was emitted is kept as one sequence of digests
 * in a ring; ids are looked up through a hash table over it, lines without ids by their place: a
 * snapshot is laid over the end of the sequence where it fits best, and what hangs over is new. */
#include "scraper/history.h"

#include <stdlib.h>
#include <string.h>

/* How long after one source reported a line the other may still report it as an addition. Sources
 * race by milliseconds; pages that lag are given some time. */
#define CLAIM_MS 2000

enum { SNAPSHOT_MAX = 1000 }; /* lines of a snapshot that are aligned: the newest ones */

/* Weights of an alignment. An edit costs more than a match earns, so that two lines in three must
 * agree: single lines often agree by chance where everybody says "mine". */
enum { MATCH = 2, EDIT = -3 };
/* A snapshot that ends before the newest known line needs this many matches, unless it ends close.
 */
enum { STALE_MATCHES = 3, STALE_CLOSE = 3 };

enum side { SIDE_FRAMES, SIDE_DOCUMENT, SIDE_SEED };
enum step { STEP_BOTH = 1, STEP_KNOWN, STEP_SHOWN };

struct entry {
    uint64_t id;   /* digest, 0: none */
    uint64_t pair; /* digest of name and text */
    int64_t at_ms;
    uint32_t next; /* of the same bucket: slot + 1, 0 ends */
    enum side side;
};

struct scr_history {
    struct entry *ring;
    uint32_t *bucket; /* slot + 1 of an entry with such an id */
    size_t capacity, first, count, bucket_mask;
    int64_t ttl_ms;
    uint64_t dropped;   /* entries that left the ring: the first one's number in the sequence */
    uint64_t passed[2]; /* up to this number a source is known to have got in the sequence */
    /* scratch of one judgement */
    struct entry shown[SNAPSHOT_MAX];
    bool is_matched[SNAPSHOT_MAX]; /* with an entry that had no id */
    int32_t score[2][SNAPSHOT_MAX + 1];
    uint8_t step[SCR_HISTORY_TAIL * SNAPSHOT_MAX]; /* memory is touched as far as it is needed */
};

/* --- digests --- */

/* FNV-1a with a final mix. Not keyed: ids are made by the site, and who forges a digest of name and
 * text gains no more than by repeating a text. */
static uint64_t hash_bytes(uint64_t hash, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)bytes[i]) * 0x100000001b3;
    return hash;
}

static uint64_t hash_end(uint64_t hash)
{
    hash = (hash ^ hash >> 30) * 0xbf58476d1ce4e5b9;
    hash = (hash ^ hash >> 27) * 0x94d049bb133111eb;
    hash ^= hash >> 31;
    return hash != 0 ? hash : 1;
}

/* Length of white space at the start of text: ASCII, or a no-break space, which pages like to draw
 * in place of a blank. */
static size_t space_length(const char *text, size_t len)
{
    size_t at = 0;

    for (;;) {
        if (at < len && (text[at] == ' ' || (text[at] >= '\t' && text[at] <= '\r')))
            at++;
        else if (at + 1 < len && text[at] == '\xC2' && text[at + 1] == '\xA0')
            at += 2;
        else
            return at;
    }
}

/* Runs of white space count as one blank, at the ends as none: a page may draw them so. */
static uint64_t hash_text(uint64_t hash, const char *text, size_t len)
{
    /* Of a very long text the start is enough, and both sources may have cut its end. */
    enum { ENOUGH_BYTES = 3000 };
    size_t taken = 0;

    for (size_t at = space_length(text, len); at < len && taken < ENOUGH_BYTES; taken++) {
        size_t space = space_length(text + at, len - at);
        if (space == 0)
            hash = hash_bytes(hash, text + at++, 1);
        else if (at + space < len)
            hash = hash_bytes(hash, " ", 1);
        at += space;
    }
    return hash;
}

static struct entry entry_of(const struct scr_line *line, enum side side, int64_t now_ms)
{
    const uint64_t basis = 0xcbf29ce484222325;
    uint64_t pair = hash_text(basis, line->username, line->username_len);

    pair = hash_text(hash_bytes(pair, "\0", 1), line->text, line->text_len);
    return (struct entry){
        .id = line->id_len > 0 ? hash_end(hash_bytes(basis, line->id, line->id_len)) : 0,
        .pair = hash_end(pair),
        .at_ms = now_ms,
        .side = side,
    };
}

/* --- the ring and its table --- */

static size_t slot_of(const struct scr_history *h, size_t place)
{
    size_t slot = h->first + place;
    return slot < h->capacity ? slot : slot - h->capacity;
}

static struct entry *at(struct scr_history *h, size_t place)
{
    return &h->ring[slot_of(h, place)];
}

static bool knows_id(const struct scr_history *h, uint64_t id)
{
    uint32_t link = h->bucket[id & h->bucket_mask];

    while (link != 0 && h->ring[link - 1].id != id)
        link = h->ring[link - 1].next;
    return link != 0;
}

static void link_id(struct scr_history *h, size_t slot)
{
    struct entry *entry = &h->ring[slot];
    uint32_t *head = &h->bucket[entry->id & h->bucket_mask];

    if (entry->id == 0)
        return;
    entry->next = *head;
    *head = (uint32_t)slot + 1;
}

static void drop_oldest(struct scr_history *h)
{
    const struct entry *entry = &h->ring[h->first];

    if (entry->id != 0) {
        uint32_t *link = &h->bucket[entry->id & h->bucket_mask];
        while (*link != h->first + 1)
            link = &h->ring[*link - 1].next;
        *link = entry->next;
    }
    h->first = slot_of(h, 1);
    h->count--;
    h->dropped++;
}

static void drop_expired(struct scr_history *h, int64_t now_ms)
{
    while (h->count > SCR_HISTORY_KEEP && now_ms - h->ring[h->first].at_ms > h->ttl_ms)
        drop_oldest(h);
}

static void append(struct scr_history *h, const struct entry *entry)
{
    if (h->count == h->capacity)
        drop_oldest(h);
    size_t slot = slot_of(h, h->count);
    h->ring[slot] = *entry;
    h->ring[slot].next = 0;
    link_id(h, slot);
    h->count++;
}

/* The same line was reported by a source that knows its id. */
static void give_id(struct scr_history *h, size_t place, uint64_t id)
{
    if (at(h, place)->id != 0 || id == 0)
        return;
    at(h, place)->id = id;
    link_id(h, slot_of(h, place));
}

/* --- single lines --- */

/* Looks for a line that the other source reported lately and this one has not got to yet. */
static bool claim(struct scr_history *h, const struct entry *line)
{
    uint64_t passed = h->passed[line->side];
    size_t oldest = passed > h->dropped ? (size_t)(passed - h->dropped) : 0;
    size_t place = h->count;

    while (place > oldest && line->at_ms - at(h, place - 1)->at_ms <= CLAIM_MS)
        place--;
    for (; place < h->count; place++) {
        const struct entry *entry = at(h, place);
        bool is_other = entry->side != line->side && entry->side != SIDE_SEED;
        if (is_other && entry->pair == line->pair && (entry->id == 0 || line->id == 0)) {
            give_id(h, place, line->id);
            h->passed[line->side] = h->dropped + place + 1;
            return true;
        }
    }
    return false;
}

static bool judge_addition(struct scr_history *h, const struct entry *line)
{
    if (line->id != 0 && knows_id(h, line->id))
        return false;
    if (claim(h, line))
        return false;
    append(h, line);
    return true;
}

/* --- snapshots --- */

static bool is_same(const struct entry *known, const struct entry *shown)
{
    return known->id != 0 && shown->id != 0 ? known->id == shown->id : known->pair == shown->pair;
}

struct overlap {
    size_t known, shown; /* ends: so many of the known tail, so many of the snapshot */
    int32_t score;       /* 0: none */
};

/* Lays the snapshot over the known tail: the best path through the table of edits, where skipping
 * known lines before the snapshot begins costs nothing, nor does skipping shown lines older than
 * all we know, nor what hangs over at the end. Ties go to the fewest shown lines, that is, to more
 * that is new: of W after W, W, W the fourth is a message. Only where we know more lines than the
 * tail holds, the shown lines in front of it are likely to be among those. */
static struct overlap find_overlap(struct scr_history *h, size_t tail, size_t shown_count)
{
    struct overlap best = {0, 0, 0}, stale = {0, 0, 0};
    size_t base = h->count - tail;
    int32_t tie = base > 0 ? 1 : 0; /* what makes a later end of the same score win */

    memset(h->score[0], 0, (shown_count + 1) * sizeof h->score[0][0]);
    for (size_t i = 1; i <= tail; i++) {
        const struct entry *known = at(h, base + i - 1);
        const int32_t *above = h->score[(i - 1) & 1];
        int32_t *row = h->score[i & 1];
        uint8_t *step = h->step + (i - 1) * shown_count - 1;
        bool is_match = false;

        row[0] = 0;
        for (size_t j = 1; j <= shown_count; j++) {
            is_match = is_same(known, &h->shown[j - 1]);
            row[j] = above[j - 1] + (is_match ? MATCH : EDIT);
            step[j] = STEP_BOTH;
            if (above[j] + EDIT > row[j]) {
                row[j] = above[j] + EDIT;
                step[j] = STEP_KNOWN;
            }
            if (row[j - 1] + EDIT > row[j]) {
                row[j] = row[j - 1] + EDIT;
                step[j] = STEP_SHOWN;
            }
            if (i == tail && row[j] > 0 && row[j] + tie > best.score)
                best = (struct overlap){i, j, row[j]};
        }
        /* The snapshot may be older than what we know, if its own end is known. */
        bool is_close = tail - i <= STALE_CLOSE;
        if (is_match && step[shown_count] == STEP_BOTH && row[shown_count] >= stale.score &&
            (is_close || row[shown_count] >= STALE_MATCHES * MATCH))
            stale = (struct overlap){i, shown_count, row[shown_count]};
    }
    return stale.score > best.score ? stale : best;
}

/* Walks the path back: a known line without an id gets that of the shown line it lies under. */
static void match_ids(struct scr_history *h, size_t tail, size_t shown_count, struct overlap end)
{
    size_t base = h->count - tail;
    size_t i = end.known, j = end.shown;

    while (i > 0 && j > 0) {
        enum step step = h->step[(i - 1) * shown_count + j - 1];
        if (step == STEP_BOTH) {
            const struct entry *shown = &h->shown[j - 1];
            const struct entry *known = at(h, base + i - 1);
            if (known->id == 0 && shown->id != 0 && is_same(known, shown) &&
                !knows_id(h, shown->id)) {
                give_id(h, base + i - 1, shown->id);
                h->is_matched[j - 1] = true;
            }
        }
        i -= step != STEP_SHOWN;
        j -= step != STEP_KNOWN;
    }
}

static void judge_snapshot(struct scr_history *h, const struct scr_lines *lines, enum side side,
                           bool *is_new, bool *is_gap, int64_t now_ms)
{
    size_t skipped = lines->count > SNAPSHOT_MAX ? lines->count - SNAPSHOT_MAX : 0;
    size_t shown_count = lines->count - skipped;
    size_t tail = h->count < SCR_HISTORY_TAIL ? h->count : SCR_HISTORY_TAIL;
    bool was_empty = h->count == 0, is_any_known = false;

    if (lines->count == 0)
        return;
    for (size_t j = 0; j < shown_count; j++) {
        h->shown[j] = entry_of(&lines->line[skipped + j], side, now_ms);
        h->is_matched[j] = false;
    }
    struct overlap overlap = find_overlap(h, tail, shown_count);
    if (overlap.score > 0) {
        match_ids(h, tail, shown_count, overlap);
        h->passed[side] = h->dropped + (h->count - tail) + overlap.known;
    }
    for (size_t j = 0; j < lines->count; j++) {
        struct entry older; /* one that was not aligned */
        const struct entry *shown = &older;
        bool is_history = overlap.score > 0;

        if (j < skipped) {
            older = entry_of(&lines->line[j], side, now_ms);
        } else {
            shown = &h->shown[j - skipped];
            is_history = is_history && j - skipped < overlap.shown;
        }
        if (shown->id != 0) {
            bool is_known = knows_id(h, shown->id);
            is_any_known |= is_known;
            is_history = is_known || (j >= skipped && h->is_matched[j - skipped]);
        }
        is_new[j] = !is_history;
        if (is_new[j])
            append(h, shown);
    }
    /* What a snapshot adds lies at the end, and this source has got that far. */
    if (overlap.score == 0 || is_new[lines->count - 1])
        h->passed[side] = h->dropped + h->count;
    *is_gap = !was_empty && overlap.score == 0 && !is_any_known;
}

/* --- public --- */

enum df_code scr_history_new(struct scr_history **out, size_t capacity, int64_t ttl_ms,
                             struct df_error *err)
{
    struct scr_history *h = calloc(1, sizeof *h);
    size_t buckets = 16;

    *out = NULL;
    if (h == NULL)
        goto out_of_memory;
    h->capacity = capacity > 0 ? capacity : 1;
    h->ttl_ms = ttl_ms;
    while (buckets < h->capacity)
        buckets *= 2;
    h->bucket_mask = buckets - 1;
    h->ring = calloc(h->capacity, sizeof *h->ring);
    h->bucket = calloc(buckets, sizeof *h->bucket);
    if (h->ring == NULL || h->bucket == NULL)
        goto out_of_memory;
    *out = h;
    return DF_OK;

out_of_memory:
    scr_history_free(h);
    return df_error_set(err, DF_ENOMEM, "history: out of memory");
}

void scr_history_free(struct scr_history *history)
{
    if (history == NULL)
        return;
    free(history->ring);
    free(history->bucket);
    free(history);
}

void scr_history_seed(struct scr_history *history, const struct scr_line *line, int64_t now_ms)
{
    struct entry entry = entry_of(line, SIDE_SEED, now_ms);

    if (entry.id == 0 || !knows_id(history, entry.id))
        append(history, &entry);
}

void scr_history_judge(struct scr_history *history, const struct scr_lines *lines, bool *is_new,
                       bool *is_gap, int64_t now_ms)
{
    enum side side = lines->source == SCR_SOURCE_FRAMES ? SIDE_FRAMES : SIDE_DOCUMENT;

    *is_gap = false;
    drop_expired(history, now_ms);
    if (lines->is_snapshot) {
        judge_snapshot(history, lines, side, is_new, is_gap, now_ms);
        return;
    }
    for (size_t i = 0; i < lines->count; i++) {
        const struct entry line = entry_of(&lines->line[i], side, now_ms);
        is_new[i] = judge_addition(history, &line);
    }
}

size_t scr_history_bytes(const struct scr_history *history)
{
    return sizeof *history + history->capacity * sizeof *history->ring +
           (history->bucket_mask + 1) * sizeof *history->bucket;
}

size_t scr_history_count(const struct scr_history *history)
{
    return history->count;
}
