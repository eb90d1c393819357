import { createServer, type Server } from 'node:net';

/** Ports that are easy to remember, where they are free. */
export const usualPorts = { gateway: 15432, console: 18443, provider: 14000, database: 25432 } as const;

const host = '127.0.0.1';

/** Listens on the port, or on any free one where it is taken. True in that case. */
export async function listenNear(server: Server, port: number): Promise<boolean> {
  const listen = (wanted: number) =>
    new Promise<void>((settle, fail) => {
      server.once('error', fail);
      server.listen({ host, port: wanted, exclusive: true }, () => {
        server.off('error', fail);
        settle();
      });
    });
  try {
    await listen(port);
    return false;
  } catch (error) {
    if (!['EADDRINUSE', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    await listen(0);
    return true;
  }
}

/** The port if it is free now, else 0, which lets whoever listens take any. */
export async function freeOrAny(port: number): Promise<number> {
  const probe = createServer();
  const moved = await listenNear(probe, port);
  await new Promise((settle) => probe.close(settle));
  return moved ? 0 : port;
}
