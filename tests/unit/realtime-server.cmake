foreach(module config head queue)
    df_unit_test(rt_${module} rt_server)
endforeach()
df_unit_test(rt_access rt_server PkgConfig::JANSSON PkgConfig::JOSE OpenSSL::Crypto)
