/** Written by scripts/postgres-extensions.mjs; the rules stand there and in extensions.ts. */
export const extensionFunctions = {
  btree_gin: `
    gin_enum_cmp gin_numeric_cmp`,
  btree_gist: `
    cash_dist date_dist float4_dist float8_dist gbtreekey16_in gbtreekey16_out gbtreekey2_in gbtreekey2_out
    gbtreekey32_in gbtreekey32_out gbtreekey4_in gbtreekey4_out gbtreekey8_in gbtreekey8_out gbtreekey_var_in
    gbtreekey_var_out gist_translate_cmptype_btree int2_dist int4_dist int8_dist interval_dist oid_dist time_dist
    ts_dist tstz_dist`,
  citext: `
    citext citext_cmp citext_eq citext_ge citext_gt citext_hash citext_hash_extended citext_larger citext_le citext_lt
    citext_ne citext_pattern_cmp citext_pattern_ge citext_pattern_gt citext_pattern_le citext_pattern_lt citext_smaller
    citextin citextout citextsend max min texticlike texticnlike texticregexeq texticregexne`,
  cube: `
    cube cube_cmp cube_contained cube_contains cube_coord cube_coord_llur cube_dim cube_distance cube_enlarge cube_eq
    cube_ge cube_gt cube_in cube_inter cube_is_point cube_le cube_ll_coord cube_lt cube_ne cube_out cube_overlap
    cube_send cube_size cube_subset cube_union cube_ur_coord distance_chebyshev distance_taxicab`,
  earthdistance: `
    geo_distance`,
  fuzzystrmatch: `
    daitch_mokotoff difference dmetaphone dmetaphone_alt levenshtein levenshtein_less_equal metaphone soundex
    text_soundex`,
  hstore: `
    akeys avals defined delete each exist exists_all exists_any fetchval ghstore_in ghstore_out hs_concat hs_contained
    hs_contains hstore hstore_cmp hstore_eq hstore_ge hstore_gt hstore_hash hstore_hash_extended hstore_in hstore_le
    hstore_lt hstore_ne hstore_out hstore_send hstore_to_array hstore_to_json hstore_to_json_loose hstore_to_jsonb
    hstore_to_jsonb_loose hstore_to_matrix hstore_version_diag isdefined isexists skeys slice slice_array svals
    tconvert`,
  intagg: `
    int_array_aggregate int_array_enum`,
  intarray: `
    _int_contained _int_contains _int_different _int_inter _int_overlap _int_same _int_union _intbig_in _intbig_out
    boolop bqarr_in bqarr_out icount idx intarray_del_elem intarray_push_array intarray_push_elem intset
    intset_subtract intset_union_elem querytree rboolop sort sort_asc sort_desc subarray uniq`,
  isn: `
    btean13cmp btisbn13cmp btisbncmp btismn13cmp btismncmp btissn13cmp btissncmp btupccmp ean13_in ean13_out hashean13
    hashisbn hashisbn13 hashismn hashismn13 hashissn hashissn13 hashupc is_valid isbn isbn13 isbn13_in isbn_in ismn
    ismn13 ismn13_in ismn_in isn_out isneq isnge isngt isnle isnlt isnne issn issn13 issn13_in issn_in make_valid upc
    upc_in`,
  ltree: `
    _lt_q_regex _lt_q_rregex _ltq_extract_regex _ltq_regex _ltq_rregex _ltree_extract_isparent _ltree_extract_risparent
    _ltree_isparent _ltree_r_isparent _ltree_r_risparent _ltree_risparent _ltxtq_exec _ltxtq_extract_exec _ltxtq_rexec
    hash_ltree hash_ltree_extended index lca lquery_in lquery_out lquery_send lt_q_regex lt_q_rregex ltq_regex
    ltq_rregex ltree2text ltree_addltree ltree_addtext ltree_cmp ltree_eq ltree_ge ltree_gist_in ltree_gist_out
    ltree_gt ltree_in ltree_isparent ltree_le ltree_lt ltree_ne ltree_out ltree_risparent ltree_send ltree_textadd
    ltxtq_exec ltxtq_in ltxtq_out ltxtq_rexec ltxtq_send nlevel subltree subpath text2ltree`,
  moddatetime: `
    moddatetime`,
  pg_trgm: `
    gtrgm_in gtrgm_out show_limit show_trgm similarity similarity_dist similarity_op strict_word_similarity
    strict_word_similarity_commutator_op strict_word_similarity_dist_commutator_op strict_word_similarity_dist_op
    strict_word_similarity_op word_similarity word_similarity_commutator_op word_similarity_dist_commutator_op
    word_similarity_dist_op word_similarity_op`,
  pgcrypto: `
    armor crypt dearmor decrypt decrypt_iv digest encrypt encrypt_iv fips_mode gen_random_bytes gen_random_uuid
    gen_salt hmac pgp_armor_headers pgp_key_id pgp_pub_decrypt pgp_pub_decrypt_bytea pgp_pub_encrypt
    pgp_pub_encrypt_bytea pgp_sym_decrypt pgp_sym_decrypt_bytea pgp_sym_encrypt pgp_sym_encrypt_bytea`,
  seg: `
    seg_center seg_cmp seg_contained seg_contains seg_different seg_ge seg_gt seg_in seg_inter seg_le seg_left
    seg_lower seg_lt seg_out seg_over_left seg_over_right seg_overlap seg_right seg_same seg_size seg_union seg_upper`,
  tablefunc: `
    normal_rand`,
  tsm_system_rows: `
    system_rows`,
  tsm_system_time: `
    system_time`,
  unaccent: `
    unaccent`,
  'uuid-ossp': `
    uuid_generate_v1 uuid_generate_v1mc uuid_generate_v3 uuid_generate_v4 uuid_generate_v5 uuid_nil uuid_ns_dns
    uuid_ns_oid uuid_ns_url uuid_ns_x500`,
  vector: `
    array_to_halfvec array_to_sparsevec array_to_vector avg binary_quantize cosine_distance halfvec halfvec_accum
    halfvec_add halfvec_avg halfvec_cmp halfvec_combine halfvec_concat halfvec_eq halfvec_ge halfvec_gt halfvec_in
    halfvec_l2_squared_distance halfvec_le halfvec_lt halfvec_mul halfvec_ne halfvec_negative_inner_product halfvec_out
    halfvec_send halfvec_spherical_distance halfvec_sub halfvec_to_float4 halfvec_to_sparsevec halfvec_to_vector
    halfvec_typmod_in hamming_distance inner_product jaccard_distance l1_distance l2_distance l2_norm l2_normalize
    sparsevec sparsevec_cmp sparsevec_eq sparsevec_ge sparsevec_gt sparsevec_in sparsevec_l2_squared_distance
    sparsevec_le sparsevec_lt sparsevec_ne sparsevec_negative_inner_product sparsevec_out sparsevec_send
    sparsevec_to_halfvec sparsevec_to_vector sparsevec_typmod_in subvector sum vector vector_accum vector_add
    vector_avg vector_cmp vector_combine vector_concat vector_dims vector_eq vector_ge vector_gt vector_in
    vector_l2_squared_distance vector_le vector_lt vector_mul vector_ne vector_negative_inner_product vector_norm
    vector_out vector_send vector_spherical_distance vector_sub vector_to_float4 vector_to_halfvec vector_to_sparsevec
    vector_typmod_in`,
} as const;
