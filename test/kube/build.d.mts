/** Where the binary is, once `npm run kube` has built it. */
export function clusterBinary(): string;
