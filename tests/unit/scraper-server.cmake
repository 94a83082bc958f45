foreach(module address client config request)
    df_unit_test(scr_${module} scr_server)
endforeach()
df_unit_test(scr_access scr_server PkgConfig::JOSE OpenSSL::Crypto)
