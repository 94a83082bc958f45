/* fcgi/gateway_orders.h - notices chat that speaks to the judging model instead of to the show. */
#ifndef FCGI_GATEWAY_ORDERS_H
#define FCGI_GATEWAY_ORDERS_H

#include <stdbool.h>
#include <stddef.h>

/* True for text that names the verdict's fields, a prompt's markup, or tells a model what to do
 * ("ignore all previous instructions"), in the languages of the shows. Such a line is worth no
 * question (hybrid: the embedded model decides, which takes no orders) and shares no call. It is a
 * net with holes, besides the escaping and the prompt, and not instead of them: what slips through
 * is still data to the model. Any bytes; pure; looks at the first 1,200 bytes. */
bool mrs_orders_in(const char *text, size_t text_len);

#endif
