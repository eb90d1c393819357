import { h, visible } from './dom.js';
import { short } from './format.js';
import { statement } from './statement.js';

/**
 * Asks before something is done. Resolves with what was written, or with undefined where it was left. What is asked about
 * stands in the dialog itself: whatever happens to the page behind it, nobody answers for something else. With `option`, something
 * that may be ticked, it resolves with `{ written, ticked }`; without a label nothing is to be written.
 */
export function confirm({ title, text, sql, label, needed, option, button, danger }) {
  return new Promise((resolve) => {
    const input = h('input', {
      id: 'why',
      name: 'why',
      maxlength: '2000',
      autocomplete: 'off',
      required: needed === true,
      'aria-describedby': 'what',
    });
    const tick = h('input', { type: 'checkbox', name: 'option' });
    const dialog = h(
      'dialog',
      { 'aria-labelledby': 'asked', class: danger ? 'danger' : undefined },
      h(
        'form',
        { method: 'dialog', onsubmit: () => dialog.setAttribute('data-done', '1') },
        h('h2', { id: 'asked' }, title),
        h('p', { id: 'what' }, text && visible(short(text, 300))),
        sql !== undefined && statement(sql),
        label !== undefined && [h('label', { for: 'why' }, label), input],
        option !== undefined && h('label', { class: 'tick' }, tick, ' ', option),
        h(
          'div',
          { class: 'buttons' },
          h('button', { type: 'submit', class: danger ? 'refuse' : 'approve' }, button),
          h('button', { type: 'button', onclick: () => dialog.close() }, 'Cancel'),
        ),
      ),
    );
    const before = document.activeElement;
    dialog.addEventListener('close', () => {
      dialog.remove();
      before?.focus?.();
      const written = dialog.hasAttribute('data-done') ? input.value.trim() : undefined;
      resolve(written === undefined || option === undefined ? written : { written, ticked: tick.checked });
    });
    document.body.append(dialog);
    dialog.showModal();
    (label === undefined ? dialog.querySelector('button') : input).focus();
  });
}

export function help(keys) {
  const dialog = h(
    'dialog',
    { 'aria-labelledby': 'keys' },
    h('h2', { id: 'keys' }, 'Keys'),
    h(
      'dl',
      { class: 'terms' },
      keys.map(([key, does]) => [h('dt', null, h('kbd', null, key)), h('dd', null, does)]),
    ),
    h('form', { method: 'dialog' }, h('button', { type: 'submit' }, 'Close')),
  );
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
