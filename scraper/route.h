/* scraper/route.h - which path is what. Pure. */
#ifndef SCRAPER_ROUTE_H
#define SCRAPER_ROUTE_H

enum scr_route {
    SCR_ROUTE_NONE,
    SCR_ROUTE_ROOT,       /* / : health, or a WebSocket */
    SCR_ROUTE_SOCKET,     /* /ws : a WebSocket only */
    SCR_ROUTE_HEALTH,     /* /health */
    SCR_ROUTE_START,      /* /api/start-monitoring */
    SCR_ROUTE_STOP,       /* /api/stop-monitoring */
    SCR_ROUTE_STREAMS,    /* /api/streams */
    SCR_ROUTE_SUMMARY,    /* /api/stream-summary/:streamId */
    SCR_ROUTE_SCREENSHOT, /* /api/screenshot/:sessionId */
    SCR_ROUTE_METRICS,    /* METRICS_LISTEN: /metrics */
    SCR_ROUTE_LIVENESS,   /* METRICS_LISTEN: /healthz */
};

enum { SCR_ROUTE_ID_MAX = 256 };

/* path: percent-decoded, without query. id (SCR_ROUTE_ID_MAX bytes) gets the last part where the
 * route has one, else "". A last part that is empty, too long, or holds slashes or control bytes is
 * no route. One slash at the end is ignored. */
enum scr_route scr_route_find(const char *path, char *id);
/* The same for METRICS_LISTEN. */
enum scr_route scr_route_find_admin(const char *path);
/* The methods a route answers, as the Allow header lists them. */
const char *scr_route_methods(enum scr_route route);

#endif
