/* fcgi/rest/service.h - one request of /rest/v1 from its first byte to its answer: who calls, what
 * is asked for, one statement, the answer. */
#ifndef FCGI_REST_SERVICE_H
#define FCGI_REST_SERVICE_H

#include <pthread.h>

#include "fcgi/keys.h"
#include "fcgi/loop.h"
#include "fcgi/prom.h"
#include "fcgi/rest/config.h"
#include "fcgi/rest/db.h"

struct rst_app {
    struct rst_config config;
    pthread_rwlock_t keys_lock; /* for the pointer; a reload replaces the keys */
    struct mrs_keys *keys;
    struct mrs_traffic traffic;
    struct rst_db_figures figures;
    struct mrs_histogram request_time;
};

/* The service that the loops of dealflow-rest run; app is borrowed. */
void rst_service(struct mrs_service *out, struct rst_app *app);

#endif
