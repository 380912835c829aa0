import { AddressRules } from './addresses';

describe('AddressRules', () => {
  const rules = new AddressRules();

  it.each(['8.8.8.8', '1.1.1.1', '172.32.0.1', '100.128.0.1', '2606:4700:4700::1111', '::ffff:8.8.8.8'])(
    'permits %s, which is public',
    (address) => expect(rules.permits(address)).toBe(true),
  );

  it.each([
    ...['0.0.0.0', '10.255.0.1', '100.64.0.1', '127.0.0.1', '127.255.255.254', '169.254.169.254'],
    ...['172.16.0.1', '172.31.255.255', '192.0.0.1', '192.168.1.1', '198.19.0.1', '203.0.113.9'],
    ...['224.0.0.1', '240.0.0.1', '255.255.255.255'],
    ...[
      '::',
      '::1',
      'fe80::1',
      'fe80::1%eth0',
      'fc00::1',
      'fd12::1',
      'ff02::1',
      '2001:db8::1',
      '2001::1',
      '3fff::1',
      '5f00::1',
      '2620:4f:8000::1',
    ],
    ...[
      '2002:7f00:1::',
      '64:ff9b::7f00:1',
      '64:ff9b:1::7f00:1',
      '::ffff:127.0.0.1',
      '::ffff:7f00:1',
      '::ffff:a00:1',
      '::127.0.0.1',
    ],
    ...['', 'localhost', '127.1', '1.2.3.4.5', '10.0.0.1/8'],
  ])('refuses %j', (address) => expect(rules.permits(address)).toBe(false));

  it('permits what is in a network that was named, and no more', () => {
    const own = new AddressRules(['10.1.0.0/16', '127.0.0.1/32', 'fd00:1::/32']);
    for (const address of ['10.1.2.3', '127.0.0.1', '::ffff:10.1.0.1', 'fd00:1::5', '9.9.9.9'])
      expect([address, own.permits(address)]).toEqual([address, true]);
    for (const address of ['10.2.0.1', '127.0.0.2', 'fd00:2::5', '169.254.169.254'])
      expect([address, own.permits(address)]).toEqual([address, false]);
  });
});
