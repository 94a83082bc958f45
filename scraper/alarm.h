/* scraper/alarm.h - what is wrong with the delivery now, for people. Several things may be; the worst
 * one is told. Pure. */
#ifndef SCRAPER_ALARM_H
#define SCRAPER_ALARM_H

#include <stdbool.h>

enum scr_trouble { /* worst first */
    SCR_TROUBLE_DROPPED,  /* lines were lost */
    SCR_TROUBLE_OUTBOX,   /* lines cannot be stored */
    SCR_TROUBLE_BURIED,   /* lines became too old and went to the dead letters */
    SCR_TROUBLE_REFUSED,  /* the function refuses everything */
    SCR_TROUBLE_UNSET,    /* no address or key */
    SCR_TROUBLE_PARKED,   /* the function refuses a session */
    SCR_TROUBLE_DOWN,     /* the function does not answer */
    SCR_TROUBLE_COUNT
};

#define SCR_ALARM_BYTES 160

struct scr_alarms {
    char text[SCR_TROUBLE_COUNT][SCR_ALARM_BYTES];
};

/* The text stays until _clear; it should not hold figures that change all the time. */
void scr_alarm_set(struct scr_alarms *alarms, enum scr_trouble trouble, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void scr_alarm_clear(struct scr_alarms *alarms, enum scr_trouble trouble);
/* The worst one's text, "" when all is well. Borrowed. */
const char *scr_alarm_worst(const struct scr_alarms *alarms);

#endif
