add_library(rt_hub STATIC hub.c say.c topic.c channel.c joining.c tokens.c binding.c checks.c
            fanout.c missed.c broadcast.c post.c people.c remote.c remote_send.c figures.c
            registry.c slots.c map.c select.c base64.c)
target_link_libraries(rt_hub PUBLIC rt_wire rt_changes PRIVATE PkgConfig::JANSSON)
