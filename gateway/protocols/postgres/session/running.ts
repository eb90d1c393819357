import * as codec from '../codec.js';
import { noKinds } from '../../../content/index.js';
import type { Leaving } from '../enforcing/leaving.js';
import type { Permit } from '../judging/permit.js';
import { copyingOut, type CopyingOut } from '../sql/copying-out.js';
import type { Look } from '../sql/look.js';
import type { Reached } from '../sql/present.js';
import { describing } from './ahead.js';
import { Behind } from './behind.js';
import { sendCopied } from './copied.js';
import type { Awaitable } from './exchange.js';
import { Executing } from './executing.js';
import type { ExtendedParts } from './extended.js';
import { unlimited } from './limits.js';
import type { Portal, Received } from './names.js';

/** Sends an Execute that may run, with what belongs to it: its portal anew, looks at the catalog, limits. */
export class Running {
  readonly #parts: ExtendedParts;
  readonly #rebind: (name: string, portal: Portal, leaving: Leaving) => void;

  /** @param rebind Makes the portal anew, under other masks or filters than at Bind. */
  constructor(parts: ExtendedParts, rebind: (name: string, portal: Portal, leaving: Leaving) => void) {
    this.#parts = parts;
    this.#rebind = rebind;
  }

  run(name: string, portal: Portal, permit: Permit, { buffer, start, end }: Received): Awaitable {
    const { template } = portal;
    const { look } = permit;
    const control = template.statements[0]?.control.kind;
    if (look !== undefined && control === 'copy_out') {
      const how = copyingOut(template, permit.leaving.text ?? template.text);
      if (how !== undefined) return this.#copyOut(portal, permit, how, look);
    }
    if (permit.rebind) this.#rebind(name, portal, permit.leaving);
    const { reached } = permit;
    const { present } = this.#parts;
    if (reached === undefined || !present.isToBeAsked(reached))
      return this.#execute(name, portal, permit, { buffer, start, end }, undefined);
    if (permit.lookBehind !== undefined)
      return this.#execute(name, portal, permit, { buffer, start, end }, () => present.differs(reached));
    return this.#isPresent(reached, permit).then((isSame) =>
      isSame ? this.#execute(name, portal, permit, { buffer, start, end }, undefined) : undefined,
    );
  }

  /** All names have been looked up. False: something is otherwise, and it was refused. */
  async #isPresent(reached: Reached, { submission }: Permit): Promise<boolean> {
    const { exchange, present, judge } = this.#parts;
    await exchange.drained();
    const failure = exchange.over || exchange.skipping ? undefined : await present.differs(reached);
    if (failure === undefined && !exchange.over && !exchange.skipping) return true;
    judge.outstanding.skip(submission);
    if (failure === undefined || exchange.over) return false;
    if (exchange.skipping) exchange.toClient.push(failure);
    else exchange.refuse(failure, 'extended');
    return false;
  }

  #execute(
    name: string,
    portal: Portal,
    permit: Permit,
    { buffer, start, end }: Received,
    differs: (() => Promise<Buffer | undefined>) | undefined,
  ): Awaitable {
    const { exchange, looking } = this.#parts;
    const { template } = portal;
    const { look } = permit;
    const control = template.statements[0]?.control.kind;
    if (permit.guard !== undefined && permit.guard.content !== noKinds && !portal.described) {
      // What is looked for in a field depends on its type and its format.
      exchange.toUpstream.push(codec.describePortal(name));
      exchange.batchSent = true;
      exchange.responses.expect({
        kind: 'describe',
        hidden: true,
        tells: true,
        guard: permit.guard,
        ...describing(portal),
      });
    }
    const copiesIn = control === 'copy_in';
    const lookBehind = permit.lookBehind?.();
    const behind = lookBehind === undefined ? undefined : new Behind(exchange, looking, lookBehind, copiesIn, differs);
    if (look !== undefined) looking.send(look, behind?.before);
    portal.prepared.recorded = true;
    portal.started = true;
    exchange.forward(buffer, start, end);
    exchange.executed(control);
    this.#parts.names.announce(template, permit.leaving);
    const limiting = unlimited(permit.limits) ? undefined : this.#parts.limit(permit);
    exchange.responses.expect(new Executing(permit, portal, this.#parts, limiting, behind));
    if (limiting !== undefined && behind === undefined) {
      exchange.toUpstream.push(codec.flush);
      exchange.flush();
    }
    if (copiesIn) return this.#parts.untilCopyIsClear();
    if (behind !== undefined) return behind.inBatch().then(() => limiting?.over);
    return limiting?.over;
  }

  #copyOut(portal: Portal, permit: Permit, how: CopyingOut, look: Look): Awaitable {
    const { exchange, looking, names } = this.#parts;
    const { guard, leaving } = permit;
    portal.prepared.recorded = portal.started = true;
    exchange.executed('copy_out');
    names.announce(portal.template, leaving);
    const limiting = unlimited(permit.limits) ? undefined : this.#parts.limit(permit);
    const { reached } = permit;
    const between = this.#parts.present.isToBeAsked(reached) ? () => this.#isPresent(reached, permit) : undefined;
    let isSent = false;
    const sent = sendCopied(exchange, looking, { how, name: `${exchange.own}_copy`, guard, look, between }, (rows) => {
      isSent = true;
      return new Executing(permit, portal, this.#parts, limiting, undefined, rows);
    });
    if (limiting === undefined) return sent;
    const over = (): Awaitable => {
      if (!isSent) return;
      exchange.toUpstream.push(codec.flush);
      exchange.flush();
      return limiting.over;
    };
    return sent === undefined ? over() : sent.then(over);
  }
}
