import pg from 'pg';
import { createPrinter, type Output, type Printer } from './print.js';
import { steps, StepFailed } from './steps.js';
import { buildWorld, type World } from './world.js';

/**
 * `sallyport demo`: everything on one machine. A real Postgres with a shop in it, an OpenID provider, a policy repository
 * in git and the gateway; then an agent with a short-lived token does what `steps.ts` says, and each step is checked.
 */
export interface DemoOptions {
  /** End after the last step. Otherwise stay up, with a connection string to try by hand, until Ctrl-C. */
  readonly once: boolean;
  /** One JSON object a line. */
  readonly json?: boolean;
  readonly output?: Output;
}

/**
 * Resolves with 0 where every step did what it should, 1 where one did not, 3 where the world could not be built or the
 * steps were interrupted.
 */
export async function runDemo(options: DemoOptions): Promise<number> {
  const print = createPrinter(options.output ?? process.stdout, { json: options.json ?? false });
  const interrupt = watchInterrupt();
  let building: Promise<World> | undefined;
  try {
    print.title('Sallyport, the demo. All of it runs on this machine, and is thrown away at the end.');
    building = buildWorld(print);
    const world = await interrupt.orWhile(building);
    const denials: string[] = [];
    const failed = await interrupt.orWhile(perform(world, print, options.once, (decision) => denials.push(decision)));
    if (failed) return 1;
    if (options.once) return 0;
    invite(world, print, denials);
    await interrupt.awaited;
    return 0;
  } catch (error) {
    if (error instanceof Interrupted) return 3;
    print.failed(error instanceof Error ? error.message : String(error));
    return 3;
  } finally {
    if (!options.once) print.remark('Ending: the gateway, the provider and the database stop, and their data goes.');
    // Interrupted in the middle, the build is let finish: only then is it known what there is to take down.
    await (await building?.catch(() => undefined))?.close();
    interrupt.stop();
  }
}

/** True where a step failed. Those after it are left out: they build on it. */
async function perform(
  world: World,
  print: Printer,
  once: boolean,
  onDenied: (decision: string) => void,
): Promise<boolean> {
  const agent = new pg.Client({
    ...world.connection,
    password: () => world.token(),
    application_name: 'month-end-agent',
  });
  // A connection that is lost shows in the query that follows; without a listener it would end the process.
  agent.on('error', () => undefined);
  try {
    await agent.connect();
    for (const [index, step] of steps.entries()) {
      print.step(index + 1, step.title, step.why);
      await step.run({
        ...world,
        agent,
        print,
        onDenied,
        waiting: () => world.approver.waiting(),
        answer: (id) => (once ? answerOverApi(world, id) : awaitPerson(world, print, id)),
      });
    }
    return false;
  } catch (error) {
    const said =
      error instanceof StepFailed
        ? error.message
        : `the agent's connection failed: ${error instanceof Error ? error.message : String(error)}`;
    print.failed(`${said}\n\nThe end of the gateway's log:\n${await world.logEnd()}`);
    return true;
  } finally {
    await agent.end().catch(() => undefined);
  }
}

async function answerOverApi({ approver }: World, id: string) {
  await approver.approve(id, 'they were never paid');
  return approver.ended(id);
}

/** Whoever watches the demo answers: in the console, signed in as the shop's owner. */
async function awaitPerson({ approver, console }: World, print: Printer, id: string) {
  print.command(
    `It waits for you. Sign in as ${console.name} with the password ${console.password}, and answer:`,
    `${console.url}#/approvals/${id}`,
  );
  return approver.ended(id);
}

function invite(world: World, print: Printer, denials: readonly string[]): void {
  const { host, port, database, user } = world.connection;
  print.title('Now you. The gateway stays up until Ctrl-C.');
  print.command(
    'As the agent, with any Postgres client; the file always holds a fresh token:',
    `PGPASSWORD="$(cat ${world.tokenFile})" psql "host=${host} port=${String(port)} dbname=${database} user=${user}"`,
  );
  print.command(
    'Change the policy: edit, commit, and ask again on the same connection:',
    `cd ${world.policyDirectory}`,
  );
  print.command(
    `The console, for ${world.console.name} with the password ${world.console.password}:`,
    world.console.url,
  );
  const [first] = denials;
  if (first !== undefined) {
    print.command(
      'Who asked for the card numbers, from which prompt, and which rule said no:',
      `npm run -s sallyport -- explain ${first} --audit ${world.auditFile}`,
    );
  }
  print.command('Every decision, as it was recorded:', `tail -f ${world.auditFile}`);
}

class Interrupted extends Error {}

/** Ctrl-C, or a request to end, as a promise: what is being built is taken down in order. A second one ends at once. */
function watchInterrupt() {
  let interrupt: (() => void) | undefined;
  const awaited = new Promise<void>((settle) => (interrupt = settle));
  let count = 0;
  const onSignal = () => {
    count += 1;
    if (count > 1) process.exit(130);
    interrupt?.();
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  return {
    awaited,
    /** What the promise gives, unless the interrupt comes first. */
    orWhile: <T>(work: Promise<T>): Promise<T> =>
      Promise.race([
        work,
        awaited.then(() => {
          throw new Interrupted();
        }),
      ]),
    stop: () => {
      process.off('SIGINT', onSignal);
      process.off('SIGTERM', onSignal);
    },
  };
}
