/** Undoes global-setup.mjs. */
export default async function tearDown() {
  await globalThis.sallyportTestTearDown?.();
}
