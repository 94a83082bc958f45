/* shared/intent/roles.h - who speaks, judged by the username alone. Pure. */
#ifndef SHARED_INTENT_ROLES_H
#define SHARED_INTENT_ROLES_H

#include <stddef.h>

enum df_role {
    DF_ROLE_VIEWER,
    DF_ROLE_SELLERISH, /* "... LIVE", "official", "shop": often the seller's side, not surely */
    DF_ROLE_HOST,      /* host, moderator or bot: never a buyer */
};

/* "mod_dre", "CardKrakenHost", "bidbot3000" are hosts; "ghost", "modular", "seikomod", "notabot",
 * "abbott" are viewers. Any bytes; only the first 128 are looked at. */
enum df_role df_role_of(const char *username, size_t username_len);

#endif
