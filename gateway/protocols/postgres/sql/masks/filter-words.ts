/**
 * What a filter may use. Allow-lists: nothing on them has effects, reads anything but its arguments and the clock, or gives back
 * more than one value. All are the server's own, and are written with their schema.
 */

const words = (text: string): ReadonlySet<string> => new Set(text.trim().split(/\s+/));

/** Operators whose answer is true or false. */
export const predicateOperators = words(
  '= <> < <= > >= ~ ~* !~ !~* ~~ !~~ ~~* !~~* @> <@ && ? ?| ?& @@ @? -|- &< &> << >> ^@',
);

export const filterOperators: ReadonlySet<string> = new Set([
  ...predicateOperators,
  ...words('+ - * / % ^ || -> ->> #> #>> & | #'),
]);

/** Functions whose answer is true or false. */
export const predicateFunctions = words(
  'starts_with regexp_like isfinite isempty lower_inf upper_inf lower_inc upper_inc jsonb_exists jsonb_exists_any jsonb_exists_all jsonb_path_exists jsonb_path_match overlaps is_normalized',
);

export const filterFunctions: ReadonlySet<string> = new Set([
  ...predicateFunctions,
  // LIKE … ESCAPE, SIMILAR TO, AT TIME ZONE and EXTRACT are calls of these.
  ...words('like_escape similar_escape similar_to_escape timezone extract date_part'),
  ...words(`lower upper initcap length char_length character_length octet_length bit_length btrim ltrim rtrim left right substr substring overlay
    strpos position replace translate reverse split_part concat concat_ws lpad rpad md5 sha256 encode decode ascii chr regexp_replace regexp_count normalize`),
  ...words('abs ceil ceiling floor round trunc mod div sign sqrt cbrt power exp ln log gcd lcm width_bucket'),
  ...words(
    'now transaction_timestamp date_trunc date_bin date timestamp timestamptz age make_date make_interval make_time make_timestamp to_char to_date to_timestamp',
  ),
  ...words(
    'array_length array_upper array_lower array_ndims cardinality array_position array_append array_cat array_remove array_to_string string_to_array',
  ),
  ...words(
    'jsonb_typeof json_typeof jsonb_array_length json_array_length jsonb_extract_path jsonb_extract_path_text json_extract_path json_extract_path_text jsonb_path_query_first',
  ),
  ...words(
    'host family masklen network netmask broadcast text int4range int8range numrange daterange tsrange tstzrange range_merge',
  ),
  ...words('hashtext hashtextextended hashint4 hashint8 int2 int4 int8 float4 float8 numeric'),
]);

export const castTypes =
  words(`bool text varchar bpchar name int2 int4 int8 float4 float8 numeric date time timetz timestamp timestamptz interval
  uuid json jsonb bytea inet cidr macaddr bit varbit money int4range int8range numrange daterange tsrange tstzrange`);

/** SQL's functions without parentheses, by the parser's names. Those that name a role stand for the gateway's: they are left out. */
export const values: ReadonlyMap<string, string> = new Map([
  ['SVFOP_CURRENT_DATE', 'CURRENT_DATE'],
  ['SVFOP_CURRENT_TIME', 'CURRENT_TIME'],
  ['SVFOP_CURRENT_TIMESTAMP', 'CURRENT_TIMESTAMP'],
  ['SVFOP_LOCALTIME', 'LOCALTIME'],
  ['SVFOP_LOCALTIMESTAMP', 'LOCALTIMESTAMP'],
]);
