# Sources of mrs_gateway, included by fcgi/CMakeLists.txt.
set(MRS_GATEWAY_SOURCES gateway.c gateway_call.c gateway_format.c gateway_loop.c gateway_policy.c
    gateway_reply.c gateway_settings.c gateway_settle.c gateway_verdict.c)
