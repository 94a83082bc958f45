/* realtime/hub_private.h - what the files of the hub share. Loop thread only.
 *
 * A client has channels, a channel has bindings and belongs to a topic, a binding wants something of
 * the registry. A channel ends in two steps: doomed when there is a reason (nothing is sent to it from
 * then on), freed by rt_hub_sweep when nobody is walking through lists. */
#ifndef REALTIME_HUB_PRIVATE_H
#define REALTIME_HUB_PRIVATE_H

#include "realtime/hub.h"
#include "realtime/join.h"
#include "realtime/map.h"
#include "realtime/presence.h"
#include "realtime/registry.h"
#include "realtime/wire.h"
#include "shared/buf.h"

struct json_t;

/* --- rates -------------------------------------------------------------------------------------- */

struct rt_rate { /* a token bucket */
    double tokens;
    int64_t at_ms;
};

/* --- a connection ------------------------------------------------------------------------------- */

struct rt_client {
    struct rt_hub *hub;
    struct rt_connection *connection;
    enum rt_vsn vsn;
    const struct rt_claims *claims; /* of the apikey */
    uint64_t number;
    uint32_t last_binding_id;
    struct rt_channel **channel;
    size_t channel_count, channel_cap;
    struct rt_rate joins, messages, presences, frames;
    bool is_ending; /* it was told to close: nothing more is sent */
};

/* --- topics ------------------------------------------------------------------------------------- */

/* A frame of the row on its way, for the next channel that gets the same. */
struct rt_encoded {
    struct rt_blob *blob;
    enum rt_vsn vsn;
    const char *select; /* borrowed */
    char ids[56];
};
enum { RT_ENCODED = 4 };

struct rt_topic { /* exists while it has channels or people */
    char *name;      /* realtime:room */
    bool is_private; /* a public topic of the same name is another one */
    struct rt_channel **channel;
    size_t channel_count, channel_cap;
    struct rt_presence *presence; /* NULL: nobody was ever there */
    struct rt_encoded *encoded;
    size_t encoded_next;
    struct rt_topic *next_used; /* of those that remember frames */
    bool is_used;
};

/* --- channels ----------------------------------------------------------------------------------- */

enum rt_extension { RT_BROADCAST, RT_PRESENCE, RT_EXTENSIONS };

struct rt_channel {
    struct rt_client *client;
    struct rt_topic *topic;
    size_t place; /* in the topic */
    uint64_t number;
    char join_ref[RT_REF_MAX_BYTES + 1], ref[RT_REF_MAX_BYTES + 1];
    bool has_join_ref, has_ref;
    struct rt_claims claims; /* of the newest valid token; owned */
    uint64_t token_print;    /* tells a token that was seen before; 0: the apikey's */

    bool is_joined;    /* the ok reply was sent */
    bool is_doomed;
    bool is_unsettled; /* in the hub's list: something is still to be answered */
    bool is_waiting;   /* for what the app asked with wait */
    bool is_expiry_told;
    bool skipped_rows; /* while its token was expired */
    int64_t deadline_ms;
    int64_t began_ms;
    int64_t healing_ms; /* when a binding that failed is tried again by a rejoin; 0: never */
    char *response;    /* of the ok reply; NULL once sent */

    bool wants_ack, wants_self, wants_presence;
    uint64_t question[RT_EXTENSIONS]; /* to the policies; 0: none */
    bool can_read[RT_EXTENSIONS], can_write[RT_EXTENSIONS];

    char *presence_key;  /* NULL until needed */
    char *tracked;       /* what the app told of itself, a JSON object; NULL: it is not there */
    char tracked_ref[32];

    struct rt_binding *binding;
    size_t binding_count;

    struct rt_channel *previous, *next; /* unsettled ones */
    struct rt_channel *next_doomed;
    uint64_t stamp; /* fan-out: the row it was found for */
    struct rt_binding *hit;
};

enum rt_binding_state {
    RT_BINDING_CHECKING, /* Postgres is asked whether it may be */
    RT_BINDING_AGAIN,    /* it could not tell: asked again at again_ms */
    RT_BINDING_PLANNED,  /* its want is not in force */
    RT_BINDING_READY,
    RT_BINDING_BAD, /* see error */
};

struct rt_binding {
    struct rt_channel *channel;
    uint32_t id;
    enum rt_binding_state state;
    unsigned events;
    char schema[64], table[64], session[37];
    char *filter;
    char *select; /* NULL: all columns */
    char *error;
    bool is_told;   /* of the error */
    bool is_faulty; /* by its text */
    struct rt_want *next_want; /* under the channel's claims; NULL: none yet */
    struct rt_want *want;      /* rows come by this one */
    size_t place;              /* in its list */
    struct rt_check *check;    /* being asked */
    struct rt_binding *next_waiting;
    int64_t again_ms;

    char *position; /* the last row the client has, as x_after; NULL: it does not care */
    struct rt_spot spot; /* the same, or a later one that came live */
    struct rt_missed *missed; /* it is being given missed rows; NULL: rows go out at once */
    struct rt_binding *next_hit;
};

/* --- the hub ------------------------------------------------------------------------------------ */

enum rt_asker_type { RT_ASKER_CHECK, RT_ASKER_CHANNEL, RT_ASKER_MISSED, RT_ASKER_POST };
/* Who waits for the answer with a token. */
struct rt_asker {
    enum rt_asker_type type;
    enum rt_extension extension; /* CHANNEL */
    void *who;
};

struct rt_refusal { /* held back, against storms */
    struct rt_refusal *next;
    struct rt_client *client;
    struct rt_blob *blob;
    int64_t due_ms;
};

struct rt_hub {
    const struct rt_config *config;
    struct rt_access *access;
    struct rt_changes *changes;
    struct rt_server *server;
    char gateway[37]; /* our name among gateways */

    struct rt_registry *registry;
    int64_t published_ms;
    bool is_wake_due; /* the round's end was asked for */
    bool is_up;       /* the database is there */
    struct rt_changes_event *event; /* whose rows are being given out */
    size_t next_row;

    struct rt_map topics; /* "-realtime:room", "+" when private */
    struct rt_map checks; /* see checks.c */
    struct rt_map askers; /* by token */
    uint64_t last_token, last_client, last_channel, last_person, last_stamp;
    struct rt_channel *unsettled, *doomed;
    struct rt_refusal *refusal, *last_refusal;
    struct rt_missed *missed;
    int64_t expiry_due_ms; /* wall time; nothing ends before */
    int64_t healing_due_ms;
    struct rt_remote *remote; /* the other gateways */

    struct df_buf frame, payload; /* scratch */
    struct df_buf data, selected; /* of the row on its way */
    size_t data_head_len;
    const char *selected_for;     /* NULL: none */
    struct rt_channel **found;    /* channels that get it */
    size_t found_count, found_cap;
    uint64_t *claims_stamp;
    size_t claims_cap;
    struct rt_topic *used_topics;

    size_t channel_count, binding_count;
    struct rt_hub_stats stats;
};

/* figures.c */
char *rt_hub_metrics(struct rt_hub *hub); /* Prometheus text, heap; NULL: no memory */

/* hub.c */
uint64_t rt_hub_ask(struct rt_hub *hub, enum rt_asker_type type, enum rt_extension extension,
                    void *who); /* a token; 0: no memory */
void rt_hub_forget(struct rt_hub *hub, uint64_t token);
void rt_hub_wake(struct rt_hub *hub); /* on_wake comes before the loop sleeps */
void rt_hub_sweep(struct rt_hub *hub);
bool rt_rate_take(struct rt_rate *rate, double per_second, double burst, int64_t now_ms);

/* say.c - all that is sent to a client. What does not fit into its queue ends channel or client. */
bool rt_say_blob(struct rt_client *client, struct rt_blob *blob, bool is_control);
void rt_say_reply(struct rt_client *client, const char *join_ref, const char *ref,
                  const char *topic, bool is_ok, const char *response);
void rt_say_reply_to(struct rt_channel *channel, const struct rt_frame *frame, bool is_ok,
                     const char *response);
void rt_say_system(struct rt_channel *channel, const char *extension, bool is_ok,
                   const char *message);
void rt_say_push(struct rt_channel *channel, const char *event, const char *payload,
                 size_t payload_len);
/* Messages that may be many: false when the channel was ended because its client is too slow. */
bool rt_say_message(struct rt_channel *channel, struct rt_blob *blob);
void rt_say_refusal(struct rt_client *client, const char *join_ref, const char *ref,
                    const char *topic, const char *reason); /* after REALTIME_REFUSE_DELAY_MS */
void rt_say_refusals_due(struct rt_hub *hub, int64_t now_ms);
void rt_say_forget_client(struct rt_hub *hub, const struct rt_client *client);

/* topic.c */
struct rt_topic *rt_topic_find(struct rt_hub *hub, const char *name, bool is_private);
struct rt_topic *rt_topic_get(struct rt_hub *hub, const char *name, bool is_private); /* made if new */
bool rt_topic_add(struct rt_topic *topic, struct rt_channel *channel);
void rt_topic_remove(struct rt_hub *hub, struct rt_channel *channel);
void rt_topic_drop_unused(struct rt_hub *hub, struct rt_topic *topic);
void rt_topic_free(struct rt_topic *topic);
const char *rt_sub_topic(const char *topic);

/* channel.c */
struct rt_channel *rt_channel_find(const struct rt_client *client, const char *topic);
struct rt_channel *rt_channel_new(struct rt_client *client, const char *topic, bool is_private);
void rt_channel_doom(struct rt_channel *channel);
void rt_channel_close(struct rt_channel *channel); /* phx_close, and doomed */
void rt_channel_break(struct rt_channel *channel); /* phx_error, and doomed: the client joins anew */
void rt_channel_free(struct rt_hub *hub, struct rt_channel *channel); /* the sweep's */
bool rt_channel_is_expired(const struct rt_channel *channel, int64_t now_s);
void rt_channel_unsettle(struct rt_channel *channel);
void rt_channel_settle(struct rt_channel *channel);
size_t rt_channel_live_count(const struct rt_client *client);

/* joining.c */
void rt_join_handle(struct rt_client *client, const struct rt_frame *frame);
void rt_channel_ask_policies(struct rt_channel *channel);
void rt_channel_on_policy(struct rt_channel *channel, enum rt_extension extension,
                          const struct rt_changes_event *event);
/* Something it waits for has happened, or time has passed. */
void rt_channel_go_on(struct rt_channel *channel, int64_t now_ms);

/* tokens.c */
bool rt_claims_copy(struct rt_claims *out, const struct rt_claims *claims);
uint64_t rt_token_print(const char *token);
void rt_token_handle(struct rt_channel *channel, const struct rt_frame *frame);
void rt_tokens_expire(struct rt_hub *hub, int64_t now_wall_ms);
void rt_tokens_note(struct rt_hub *hub, const struct rt_channel *channel); /* it will expire */

/* binding.c */
bool rt_bindings_make(struct rt_channel *channel, const struct rt_join *join);
void rt_bindings_free(struct rt_hub *hub, struct rt_channel *channel);
void rt_binding_set_up(struct rt_hub *hub, struct rt_binding *binding); /* under the channel's claims */
void rt_binding_on_checked(struct rt_hub *hub, struct rt_binding *binding, const char *error);
bool rt_binding_is_settled(struct rt_hub *hub, struct rt_binding *binding, int64_t now_ms);
/* Rows come by next_want from now on. */
void rt_binding_go_live(struct rt_hub *hub, struct rt_binding *binding);
void rt_bindings_on_failed(struct rt_hub *hub, const struct rt_changes_event *event);
void rt_bindings_heal(struct rt_hub *hub, int64_t now_ms);

/* checks.c - answers about bindings, asked once for all clients that want the same. */
/* True: it may be. False: rt_binding_on_checked will tell. */
bool rt_check_ask(struct rt_hub *hub, struct rt_binding *binding);
void rt_check_leave(struct rt_binding *binding);
void rt_check_on_answer(struct rt_hub *hub, void *check, const struct rt_changes_event *event);
void rt_checks_forget(struct rt_hub *hub); /* the database is another one, perhaps */
void rt_checks_free(struct rt_hub *hub);

/* fanout.c */
/* One row of the event; says how many channels it concerned. */
size_t rt_fanout(struct rt_hub *hub, const struct rt_changes_event *event, size_t row_index);
/* Starts with a row: frames are about it. */
void rt_fanout_begin(struct rt_hub *hub, const struct rt_changes_event *event,
                     const struct rt_row *row);
void rt_fanout_end(struct rt_hub *hub);
struct rt_blob *rt_fanout_frame(struct rt_hub *hub, struct rt_channel *channel, const char *ids,
                                const char *select, const struct rt_row *row); /* NULL: no memory */

/* missed.c - x_after */
void rt_missed_begin(struct rt_hub *hub, struct rt_binding *binding);
void rt_missed_end(struct rt_hub *hub, struct rt_binding *binding);
void rt_missed_on_plan(struct rt_hub *hub);
void rt_missed_on_rows(struct rt_hub *hub, void *missed, const struct rt_changes_event *event);
/* A live row of a binding that is being given missed ones. */
void rt_missed_hold(struct rt_hub *hub, struct rt_binding *binding,
                    const struct rt_changes_event *event, const struct rt_row *row);
void rt_missed_feed(struct rt_hub *hub); /* as much as the clients' queues take */
/* The client has this row, which came live. */
void rt_missed_note_live(struct rt_binding *binding, const struct rt_changes_event *event,
                         const struct rt_row *row);

/* broadcast.c */
struct rt_broadcast {
    const char *topic; /* realtime:room */
    bool is_private;
    const struct rt_channel *sender; /* NULL: not from here */
    /* Either payload: the whole payload of a text frame, JSON; or: */
    const char *payload;
    size_t payload_len;
    const char *event;
    const uint8_t *bytes;
    size_t bytes_len;
    bool is_json;
};
void rt_broadcast_handle(struct rt_channel *channel, const struct rt_frame *frame);
void rt_broadcast_deliver(struct rt_hub *hub, const struct rt_broadcast *broadcast); /* here */
void rt_broadcast_send(struct rt_hub *hub, const struct rt_broadcast *broadcast); /* everywhere */
/* False: no JSON. True: out holds it as text that every client can read. */
bool rt_broadcast_clean(struct df_buf *out, const uint8_t *bytes, size_t len);

/* post.c - the HTTP form */
void rt_post_handle(struct rt_hub *hub, uint64_t request, const struct rt_claims *claims,
                    const char *topic, const char *event, bool is_private, bool is_json,
                    const uint8_t *body, size_t body_len);
void rt_post_on_policy(struct rt_hub *hub, void *post, const struct rt_changes_event *event);
void rt_post_free(void *post);

/* people.c - presence */
struct rt_person {
    const char *source, *key, *phx_ref, *payload; /* payload: a JSON object */
};
void rt_people_handle(struct rt_channel *channel, const struct rt_frame *frame);
void rt_people_on_joined(struct rt_channel *channel);
void rt_people_on_left(struct rt_hub *hub, struct rt_channel *channel);
/* Somebody of a topic, wherever he is; the topic's channels are told. False: no memory. */
bool rt_people_put(struct rt_hub *hub, struct rt_topic *topic, const struct rt_person *person);
void rt_people_take(struct rt_hub *hub, struct rt_topic *topic, const char *source);
enum { RT_SOURCE_BYTES = 96 };
void rt_people_source(const struct rt_channel *channel, char out[RT_SOURCE_BYTES]);

/* remote.c - other gateways on the same database */
enum df_code rt_remote_new(struct rt_hub *hub, struct df_error *err) DF_MUST_USE;
void rt_remote_free(struct rt_hub *hub);
void rt_remote_on_text(struct rt_hub *hub, const char *text);
void rt_remote_on_tick(struct rt_hub *hub, int64_t now_ms);
void rt_remote_on_up(struct rt_hub *hub);
void rt_remote_broadcast(struct rt_hub *hub, const struct rt_broadcast *broadcast);
void rt_remote_tracked(struct rt_hub *hub, const struct rt_channel *channel);
void rt_remote_untracked(struct rt_hub *hub, const struct rt_channel *channel);

#endif
