import { BlockList, isIP, isIPv6 } from 'node:net';

/*
 * Which addresses a server may be made to speak to by its users. Sources: IANA's registries of special-purpose addresses
 * (https://www.iana.org/assignments/iana-ipv4-special-registry, …/iana-ipv6-special-registry).
 */
const refusedV4 = [
  '0.0.0.0/8', // this network
  '10.0.0.0/8', // private
  '100.64.0.0/10', // carriers' private
  '127.0.0.0/8', // loopback
  '169.254.0.0/16', // link-local, where clouds keep their metadata
  '172.16.0.0/12', // private
  '192.0.0.0/24', // protocol assignments
  '192.0.2.0/24', // documentation
  '192.31.196.0/24', // AS112
  '192.52.193.0/24', // AMT
  '192.88.99.0/24', // 6to4 relays
  '192.168.0.0/16', // private
  '192.175.48.0/24', // AS112
  '198.18.0.0/15', // benchmarks
  '198.51.100.0/24', // documentation
  '203.0.113.0/24', // documentation
  '224.0.0.0/4', // multicast
  '240.0.0.0/4', // reserved, broadcast
];
/** Of IPv6 only global unicast is public, less these. Whatever wraps an IPv4 address (mapped, NAT64) lies outside of it, or is here. */
const globalV6 = '2000::/3';
const refusedV6 = [
  '2001::/23', // protocol assignments, Teredo
  '2001:db8::/32', // documentation
  '2002::/16', // 6to4
  '2620:4f:8000::/48', // AS112
  '3fff::/20', // documentation
];

function listOf(networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const network of networks) {
    const [address = '', bits = ''] = network.split('/');
    const family = isIPv6(address) ? 'ipv6' : 'ipv4';
    list.addSubnet(address, Number(bits || (family === 'ipv6' ? 128 : 32)), family);
  }
  return list;
}

const v4 = listOf(refusedV4);
const v6 = listOf(refusedV6);
const global = listOf([globalV6]);
const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i;

/** Decides about addresses; `allowed` are networks such as `10.1.0.0/16` that may be spoken to although they are not public. */
export class AddressRules {
  private readonly allowed: BlockList;

  constructor(allowed: readonly string[] = []) {
    this.allowed = listOf(allowed);
  }

  /** Whether an address, as text, may be spoken to. What is no address may not. */
  permits(address: string): boolean {
    // A socket that listens for both families names IPv4 peers so; it is the IPv4 address that counts.
    const plain = mapped.exec(address)?.[1] ?? address;
    const family = isIP(plain);
    if (family === 0 || plain.includes('%')) return false;
    const name = family === 6 ? 'ipv6' : 'ipv4';
    if (this.allowed.check(plain, name)) return true;
    return family === 4 ? !v4.check(plain, name) : global.check(plain, name) && !v6.check(plain, name);
  }
}
