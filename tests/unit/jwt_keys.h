/* tests/unit/jwt_keys.h - keys made for the tests and used nowhere else. */
#ifndef TESTS_UNIT_JWT_KEYS_H
#define TESTS_UNIT_JWT_KEYS_H

/* clang-format off */
#define JWT_SECRET "only-for-tests-at-least-32-characters-long"
#define KEY_EC \
    "{\"alg\":\"ES256\",\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"J4pzhat_pzf6PLQ93D9WH8S0" \
    "NCq9iWfXLppl_7FSXA8\",\"y\":\"zKKk55jXqlABzZm1zOIdeZx1MuJ3qeZ19dT4Rpi3mSY\",\"d\":\"" \
    "7JaSQl2lsJlmB_lkXRvYGR42eVkEgb2spxJE9qqTYWg\",\"kid\":\"ec-1\"}"
#define KEY_EC_OTHER \
    "{\"alg\":\"ES256\",\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"eWLIXZCTXmodKjlfM-ci3SVT" \
    "JiqYBKp7L-fgRnrfFIg\",\"y\":\"68qdnuYd_OkB4quP0-xhOj53oOgsBES2SenX6Sh-KQ0\",\"d\":\"" \
    "tSWbjxc267TuMm1uk9K8Ye5Vlw2O2FynSYf_Y4eOjx0\",\"kid\":\"ec-1\"}"
#define KEY_RSA \
    "{\"alg\":\"RS256\",\"kty\":\"RSA\",\"n\":\"pomWIATGAkYGQgaSDJkFBe1KdW1P628wGUxa_YCfM" \
    "o46HseX0o87UNi6r7isSO1xb99xBsUKidq-5ja0YdnFxPrzcWo6X-J76AHpvFDIFIj58mEzfekMp12UeD1UP" \
    "OQwOijuNaV_NrHuPMfLcSE8xnCBPl1FJ4U5jbPCX-1_lXQ1-PSj86XEa55RsgMrBO2SZa4NnOglzbOjqDu7h" \
    "YHT4hXS9JtFnMrHQQLAPSWuf0tCt1HGwlYs2IpMi-BWuQNXxHRVB2K7U-bvjRao8_eCh2kuZqNlvMbgHd0lv" \
    "hwYLQw443uk3eo1aKcmauoQrLPbQti_l3_lEPiwvUIsnyQYJQ\",\"e\":\"AQAB\",\"p\":\"2fwIFHb_u" \
    "IhUE5qFOi_6A3bipOjL_-L8X_NZSAgzWHi_pRVdLWtBWxTYJu_KCyLjXU0e3mxzQbUCMmAk8113frfFTpa1k" \
    "XhOmBvnCOyMZIope07VZ5PaYYqQRc0q7arTbSNXlSW7mPNLbA3wvQ0JvCQ5Y3_sde4H7Z5CEblc9Vs\",\"d" \
    "\":\"L4ypKIs0XgHQV5m4qZAnNwIBeHW1k-szOIXslOTcj3q8bX1fg-cRcIvxAasgxdHFycNqahxoXePvDZw" \
    "g9K9RIGTmjUNfV3E7H4ssSXBnMDXL58CJCzI3QrIdahdYreoZOwHkwbx3Dg7Pjtsc4zgyOhZ1UHEhBZ-sRyF" \
    "EJk-RVgJaMai2ka0Kk42htoPFHytShTD9WdMcNPW_BG2aPa2VMSY8wxctyLMDDrbtaBZFpnsMP54dZrVmWBj" \
    "kS5QNd3zOC5n-S3-Lq-AZNvX7zQ1lnBFxqwwZdg3NUiM_MWn1e_Vb-7XP41ViQVjyDawyJqsHhuiki3JTxxC" \
    "GUSfm7hbjIQ\",\"q\":\"w5SweFxP2jCq0EIaEvCGvlEkBwl5NM0HU4v_QRkp4xOXcGYHd75i2GS5X2rb1V" \
    "BbYbY7tEgOvPxcCzmEikXYKs1P_3hCBlmEykQ2s5QnHPvyycv8xmvOkZ7I3JgN20vlgaOo4fROfmCg9lwfTs" \
    "TOX6ru4aw47kvsv5iDOSIBIH8\",\"dp\":\"Sf_tHkVnelWNdTo3kBFJZnOtbR46YpvD4S7TWEiwZZBYPsq" \
    "J3ylR_oGM_2rXxAAL_1h26jsWxW-VV1ScNqG8NyBbstomuUOGKs0OGVF0N41Pl7SjbY4bzJEleQy1Tgl3zMz" \
    "6pn8wuDOfnwb8erE6ZMxHTyfWNhKgTmIzO6EZlZE\",\"dq\":\"nQnwwFPu0hUtslbBNN_ocTwZn4Tdy6Ws" \
    "8kqAxDZ-SZRbjqZ97In0OCh4J8NXjGofVc_LFLCfFOPUzDZ808HNFmEQkOJwsUSDuR0Yhwy4cy9h_OJLrs61" \
    "aHuEcIuu5JyGRZexbOyLcjIITIgfo1GnG23WrWFpvP09tYGyK9e_6-U\",\"qi\":\"hhydSYR75skcUkbn3" \
    "DKSwHW0bMetMibypf7-xYb00uC8dv866j44SvMR7lVnrQ2wAaEZMlHHvV72oPtyhqwhlEbtiiz47fBwnNQCR" \
    "i1nsJXj0e_zj3evMdmmjKu2rFKMW5bAU3ey0zZAUOc9hc_ii7SAUn0piS8fQ0x6Rl86RDo\",\"kid\":\"r" \
    "sa-1\"}"
#define KEY_OCT \
    "{\"alg\":\"HS256\",\"kty\":\"oct\",\"k\":\"h53vj2l2mWEMnpgbiQvvnr3qfd96xAj-sXNrChYps" \
    "WY\",\"kid\":\"oct-1\"}"
#define KEY_EC384 \
    "{\"alg\":\"ES384\",\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"chQDUQSUXggsCsEKIDbCVZrp" \
    "0MYxNWfrOooX8_6J-tN-hIAAt1gmFi2xMe6r1d6B\",\"y\":\"GxOaQ94z-wefYr7E6PYNNL4VJpIbTzopK" \
    "hVzsodgO660jYS4e8ez_T0BXcGH5lVZ\",\"d\":\"CKo__b0FxleM3unFViuTMXwVgvVQjqbHtRZBC7T8f_" \
    "obIxlBrbZW5MFZ7FUrGWVG\",\"kid\":\"ec-384\"}"
#define KEY_RSA_SHORT \
    "{\"kty\":\"RSA\",\"n\":\"1mBsm7cUrQaZxuaIuvSgi5CdDci85slVE5d2mY_FAoPTfu2555T74iyGoij" \
    "D69qn_HiS0e3S1aMYL_GB4sraF6yzJnv479mQfjYbaXFDvFH25DLKR66pC_Zb1i9PfHxTfXJu9g867dkpHeE" \
    "MQYcjynOQU_sksBnhUOOTkuB4tQU\",\"e\":\"AQAB\",\"d\":\"z_FEKF8UTSmD7G0d38r-F6K01PQMWA" \
    "ie35whzJ6qSOA6PHq3wyy-jwsFpTHJqXO1Uq5aLAt2YQgMpCStCqIdnOUClcXWcBUhGNEKqqosk8LX8OxjvI" \
    "-2ETK6LltaFAdUbozanMrxQGG2fanjMxDKpX4y-ndN0SLSIZcOy-9oo0E\",\"p\":\"__uiSrxjuPi2u2Yy" \
    "6epcm38s9-zElBUiS_zbx8X-HLweCczOvYO5CNpuax-v9HGqLF7yUnSDU5Jq9DZtHVe5bQ\",\"q\":\"1mQ" \
    "UpjKPgwR4Pg3uJJvWMOxv2FIPMwT9JSyxI1dVyoYfCwo44xN8KUUD0WIVFrQx4YgvoCpxUAU3rfJg0GyC-Q\"" \
    ",\"dp\":\"3xlSwswaJbYunHlf2lq1x5g5ewLR-TXKJGwGqMA4zpZtn6DudmF9POgS4C5HzkXaSL2feJmvc4" \
    "Di0mE1DCPOqQ\",\"dq\":\"ZekjC7HDGGOaiNz0VACj-5OYwvqW8QixEOfCuGr-hAvnW8cbLY4ImlGNNA3s" \
    "umMjxvKGuRsTzBb-1bf-n3TFeQ\",\"qi\":\"MhmlZ-toFTMECKbA4LskMQQ0OVEZpoHhQ9OFS75Ud52lnX" \
    "2cUirsktVrPTwGL64Piq-rl2bKAEQjoz34fTc-dA\",\"kid\":\"rsa-short\"}"
/* clang-format on */

#endif
