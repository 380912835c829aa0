import { loadAgain } from './lazy-part';

describe('loadAgain', () => {
  let onLine = true;
  const link = {
    sheet: null as object | null,
    replaced: 0,
    cloneNode: () => link,
    replaceWith: () => (link.replaced += 1),
  };
  beforeEach(() => {
    onLine = true;
    Object.assign(link, { sheet: null, replaced: 0 });
    const globals = {
      navigator: { get: () => ({ onLine }) },
      document: { get: () => ({ querySelectorAll: () => [link] }) },
    };
    for (const [name, { get }] of Object.entries(globals))
      Object.defineProperty(globalThis, name, { get, configurable: true });
  });
  afterEach(() => {
    for (const name of ['navigator', 'document']) Reflect.deleteProperty(globalThis, name);
  });

  /** Fails so many times; after the last of them the network is back. */
  const failing = (times: number) => {
    let tries = 0;
    return () => {
      tries += 1;
      if (tries === times) onLine = true;
      return tries <= times ? Promise.reject(new Error(`try ${tries}`)) : Promise.resolve(tries);
    };
  };

  it('gives what comes at once', async () => {
    await expect(loadAgain(failing(0), 1)).resolves.toBe(1);
    expect(link.replaced).toBe(0);
  });

  it('tries once more on the network, with the stylesheets that did not come', async () => {
    await expect(loadAgain(failing(1), 1)).resolves.toBe(2);
    expect(link.replaced).toBe(1);
    link.sheet = {};
    await expect(loadAgain(failing(5), 1)).rejects.toThrow('try 2');
    expect(link.replaced).toBe(1);
  });

  it('goes on trying for as long as the network is away', async () => {
    onLine = false;
    await expect(loadAgain(failing(5), 1)).resolves.toBe(6);
  });
});
