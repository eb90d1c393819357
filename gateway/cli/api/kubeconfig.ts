import { resolve } from 'node:path';
import type { Command } from 'commander';
import { ConfigError } from '../../errors.js';
import { exit, type ExitCode } from '../exit.js';
import { configFile, type Surroundings } from '../surroundings.js';
import { withGateway, type GatewayFlags } from './address.js';
import { ask } from './ask.js';
import { placeOf } from './setting.js';

const examples = `
It has no secret in it: kubectl asks \`sallyport token\` for a ticket, with the sign-in of whoever runs it.

Examples:
  sallyport kubeconfig cluster > ~/.kube/sallyport; export KUBECONFIG=~/.kube/sallyport
  sallyport kubeconfig cluster --gateway https://gateway.example:8443 --namespace shop`;

type KubeconfigFlags = GatewayFlags & { readonly namespace?: string };

/** Adds kubeconfig to the command line. */
export function registerKubeconfig(program: Command, around: Surroundings, finish: (code: ExitCode) => void): void {
  withGateway(program.command('kubeconfig').description('a kubeconfig for a Kubernetes target, without a secret in it'))
    .argument('<target>', 'its name')
    .option('--namespace <name>', 'the one that is meant where none is named')
    .addHelpText('after', examples)
    .action(async (target: string, flags: KubeconfigFlags) =>
      finish(
        await ask(flags, around, async ({ api }) => {
          const { protocol, url, ca } = await placeOf(target, flags, around, api);
          if (protocol !== 'kubernetes') throw new ConfigError(`"${target}" is no Kubernetes target`);
          const config = kubeconfig(target, { url, ca }, flags, around);
          around.stdout.write(`${JSON.stringify(config, undefined, 2)}\n`);
          return exit.done;
        }),
      ),
    );
}

/** @see https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins */
function kubeconfig(
  target: string,
  { url, ca }: { readonly url: string | undefined; readonly ca: string | undefined },
  flags: KubeconfigFlags,
  around: Surroundings,
) {
  const authority = ca === undefined ? {} : { 'certificate-authority-data': Buffer.from(ca).toString('base64') };
  const namespace = flags.namespace === undefined ? {} : { namespace: flags.namespace };
  const plugin = {
    apiVersion: 'client.authentication.k8s.io/v1',
    command: 'sallyport',
    args: ['token', '--kubernetes', '--target', target, ...toGateway(flags, around)],
    installHint: 'sallyport is the command line of the gateway: npm install -g sallyport, then sallyport login',
    interactiveMode: 'Never',
    provideClusterInfo: false,
  };
  return {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: target, cluster: { server: url, ...authority } }],
    users: [{ name: 'sallyport', user: { exec: plugin } }],
    contexts: [{ name: target, context: { cluster: target, user: 'sallyport', ...namespace } }],
    'current-context': target,
  };
}

/** The same gateway as this command was told, from whatever folder kubectl is started in. */
function toGateway(flags: GatewayFlags, around: Surroundings): string[] {
  const gateway = flags.gateway ?? (around.env['SALLYPORT_URL'] || undefined);
  const ca = flags.ca ?? (around.env['SALLYPORT_CA'] || undefined);
  return [
    ...(gateway === undefined ? ['--config', configFile(flags.config, around)] : ['--gateway', gateway]),
    ...(ca === undefined ? [] : ['--ca', resolve(ca)]),
    ...(flags.tokenFile === undefined ? [] : ['--token-file', resolve(flags.tokenFile)]),
  ];
}

/** What a plug-in prints for kubectl. */
export const execCredential = (token: string, expires: string): string =>
  `${JSON.stringify({
    apiVersion: 'client.authentication.k8s.io/v1',
    kind: 'ExecCredential',
    status: { token, expirationTimestamp: expires },
  })}\n`;
