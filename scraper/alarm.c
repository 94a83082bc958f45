/* scraper/alarm.c - one text per kind of trouble. */
#include "scraper/alarm.h"

#include <stdarg.h>
#include <stdio.h>

void scr_alarm_set(struct scr_alarms *alarms, enum scr_trouble trouble, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(alarms->text[trouble], sizeof alarms->text[trouble], fmt, args);
    va_end(args);
}

void scr_alarm_clear(struct scr_alarms *alarms, enum scr_trouble trouble)
{
    alarms->text[trouble][0] = '\0';
}

const char *scr_alarm_worst(const struct scr_alarms *alarms)
{
    for (int i = 0; i < SCR_TROUBLE_COUNT; i++) {
        if (alarms->text[i][0] != '\0')
            return alarms->text[i];
    }
    return "";
}
