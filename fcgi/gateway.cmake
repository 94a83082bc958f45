# Sources of mrs_gateway, included by fcgi/CMakeLists.txt.
set(MRS_GATEWAY_SOURCES gateway.c gateway_budget.c gateway_cache.c gateway_call.c gateway_format.c
    gateway_group.c gateway_loop.c gateway_orders.c gateway_policy.c gateway_reply.c gateway_route.c
    gateway_settings.c gateway_settle.c gateway_verdict.c)
