/**
 * Who may import whom. The layout is a promise (docs/lifecycle.md): an arrow that is not allowed here is a mistake in the
 * change, or a decision to be written down in docs/decisions/ together with the change of this file.
 *
 * Run through scripts/check-dependencies.mjs, which also fails when suspiciously few modules were seen.
 *
 * @type {import('dependency-cruiser').IConfiguration}
 */
const tests = '\\.test\\.ts$';

module.exports = {
  forbidden: [
    {
      name: 'no-cycles',
      severity: 'error',
      comment: 'A cycle has no order of reading.',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'resolvable',
      severity: 'error',
      comment: 'An import that cannot be resolved is not checked by any other rule.',
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: 'engine-knows-nobody',
      severity: 'error',
      comment: 'The decision point has no protocol, no network and no way to policy: documents in, decisions out.',
      from: { path: '^engine/', pathNot: tests },
      to: { path: '^(gateway|bundles|examples|test|bench|scripts)/' },
    },
    {
      name: 'engine-does-no-io',
      severity: 'error',
      comment: 'The engine has no I/O of its own: what it needs is handed in.',
      from: { path: '^engine/', pathNot: tests },
      to: {
        dependencyTypes: ['core'],
        path: '^(node:)?(fs|fs/promises|tls|http|https|http2|dgram|dns|child_process|cluster|worker_threads)$',
      },
    },
    {
      name: 'engine-does-no-io-but-reads-addresses',
      severity: 'error',
      comment:
        "The engine's supply of built-ins may ask net.isIP, which is pure; ESLint sees to it that it is only that.",
      from: { path: '^engine/', pathNot: ['^engine/host/(net|uri)\\.ts$', tests] },
      to: { dependencyTypes: ['core'], path: '^(node:)?net$' },
    },
    {
      name: 'one-importer-of-opa-wasm',
      severity: 'error',
      comment: 'engine/wasm.ts is the one place that knows the WebAssembly SDK and its sharp edges.',
      from: { path: '^(engine|bundles|gateway|examples)/', pathNot: ['^engine/wasm\\.ts$', tests] },
      to: { path: 'node_modules/@open-policy-agent/opa-wasm' },
    },
    {
      name: 'engine-by-its-door',
      severity: 'error',
      comment: 'Everybody else reaches the engine through #engine, which is engine/index.ts.',
      from: { path: '^(bundles|gateway|examples)/', pathNot: tests },
      to: { path: '^engine/', pathNot: '^engine/index\\.ts$' },
    },
    {
      name: 'bundles-know-the-engine-only',
      severity: 'error',
      comment: "Policy's way to force has no business with sessions and sockets of clients.",
      from: { path: '^bundles/', pathNot: tests },
      to: { path: '^(gateway|examples|test|bench)/' },
    },
    {
      name: 'bundles-by-their-door',
      severity: 'error',
      comment: 'bundles/index.ts is what others may use.',
      from: { path: '^(gateway|examples)/', pathNot: tests },
      to: { path: '^bundles/', pathNot: '^bundles/index\\.ts$' },
    },
    {
      name: 'protocols-are-islands',
      severity: 'error',
      comment:
        'A protocol sees its own folder, gateway/protocol.ts, gateway/elsewhere.ts (where values of an upstream may stand), gateway/errors.ts, the engine, and by their doors gateway/content (what is found in text is the same for all), gateway/openssh (so are keys and certificates), gateway/shell (so is what a command does) and gateway/web (so is HTTP).',
      from: { path: '^gateway/protocols/([^/]+)/', pathNot: tests },
      to: {
        path: '^(gateway|bundles|examples|test|bench|scripts)/',
        pathNot: [
          '^gateway/protocols/$1/',
          '^gateway/protocol\\.ts$',
          '^gateway/elsewhere\\.ts$',
          '^gateway/errors\\.ts$',
          '^gateway/content/index\\.ts$',
          '^gateway/openssh/index\\.ts$',
          '^gateway/shell/index\\.ts$',
          '^gateway/web/index\\.ts$',
        ],
      },
    },
    {
      name: 'openssh-is-pure',
      severity: 'error',
      comment: "OpenSSH's keys and certificates are bytes and fields: no network, no files, no clock, no protocol.",
      from: { path: '^gateway/openssh/', pathNot: tests },
      to: { pathNot: ['^gateway/openssh/', '^gateway/errors\\.ts$', '^(node:)?crypto$'] },
    },
    {
      name: 'web-knows-no-protocol',
      severity: 'error',
      comment: 'What protocols over HTTP share knows what protocols know, and none of them.',
      from: { path: '^gateway/web/', pathNot: tests },
      to: {
        path: '^(gateway|bundles|examples|test|bench|scripts)/',
        pathNot: ['^gateway/web/', '^gateway/protocol\\.ts$', '^gateway/errors\\.ts$', '^gateway/content/index\\.ts$'],
      },
    },
    {
      name: 'content-is-pure',
      severity: 'error',
      comment:
        'What looks for patterns in text gets bytes and gives bytes: no network, no files, no clock, no protocol.',
      from: { path: '^gateway/content/', pathNot: tests },
      to: { pathNot: ['^gateway/content/', '^engine/index\\.ts$'] },
    },
    {
      name: 'shell-is-pure',
      severity: 'error',
      comment: 'What a command does is read from its words: no network, no files, no clock, no protocol.',
      from: { path: '^gateway/shell/', pathNot: ['^gateway/shell/table\\.ts$', tests] },
      to: { pathNot: ['^gateway/shell/', '^engine/index\\.ts$', '^(node:)?path$', 'node_modules/(unbash|typebox)/'] },
    },
    {
      name: 'shell-reads-its-own-data',
      severity: 'error',
      comment: 'What is known of programs is a file that ships: one place reads it, once.',
      from: { path: '^gateway/shell/table\\.ts$' },
      to: { pathNot: ['^gateway/shell/', '^(node:)?(fs|path)$', 'node_modules/yaml/'] },
    },
    {
      name: 'only-the-registry-knows-protocols',
      severity: 'error',
      comment: 'One list of what ships: gateway/registry.ts, by each index.ts.',
      from: { path: '^(engine|bundles|gateway|examples)/', pathNot: ['^gateway/(registry\\.ts$|protocols/)', tests] },
      to: { path: '^gateway/protocols/' },
    },
    {
      name: 'registry-by-the-door',
      severity: 'error',
      from: { path: '^gateway/registry\\.ts$' },
      to: { path: '^gateway/protocols/', pathNot: '^gateway/protocols/[^/]+/index\\.ts$' },
    },
    {
      name: 'no-client-library-in-protocols',
      severity: 'error',
      comment: 'pg decodes and re-encodes what it carries; a gateway passes on the bytes that were judged.',
      from: { path: '^gateway/protocols/', pathNot: tests },
      to: { path: 'node_modules/(@types/)?(pg|postgres)/' },
    },
    {
      name: 'codecs-are-pure',
      severity: 'error',
      comment: 'A codec turns bytes into messages and back: no network, no files, no clock.',
      from: { path: '^gateway/protocols/[^/]+/codec(/|\\.ts$)', pathNot: tests },
      to: {
        dependencyTypes: ['core'],
        path: '^(node:)?(fs|fs/promises|net|tls|http|https|http2|dgram|dns|timers|timers/promises|perf_hooks|child_process|worker_threads)$',
      },
    },
    {
      name: 'protobuf-is-pure',
      severity: 'error',
      comment: 'Objects of Kubernetes in protobuf are bytes and text; one place reads the table of messages, once.',
      from: { path: '^gateway/protocols/kubernetes/protobuf/', pathNot: ['/table\\.ts$', tests] },
      to: { pathNot: ['^gateway/protocols/kubernetes/protobuf/', '^gateway/web/index\\.ts$', '^(node:)?buffer$'] },
    },
    {
      name: 'enforcement-has-no-upstream',
      severity: 'error',
      comment: 'What applies a decision holds no credential.',
      from: { path: '^gateway/protocols/[^/]+/enforc(e\\.ts$|ing/)' },
      to: { path: '^gateway/protocols/[^/]+/upstream\\.ts$' },
    },
    {
      name: 'product-without-tests',
      severity: 'error',
      comment: 'What ships does not lean on what tests it.',
      from: { path: '^(engine|bundles|gateway|bin)/', pathNot: tests },
      to: { path: ['^(test|bench|scripts)/', tests] },
    },
    {
      name: 'product-without-dev-dependencies',
      severity: 'error',
      comment: 'What ships runs on its dependencies alone; the demo is for a checkout and may use more.',
      from: { path: '^(engine|bundles|gateway|bin)/', pathNot: tests },
      to: {
        dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'],
        dependencyTypesNot: ['type-only', 'npm'],
        pathNot: 'node_modules/@types/',
      },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^(dist|coverage)/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.check.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['types', 'import', 'node', 'default'],
      mainFields: ['types', 'module', 'main'],
    },
  },
};
