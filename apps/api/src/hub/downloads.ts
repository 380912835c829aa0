import { Inject, Injectable } from '@nestjs/common';
import { LowrankError, type StoredFile } from '@lowrank/contracts';
import { isSameSecret, type ObjectStore } from '@lowrank/domain';
import { blobKey } from '@lowrank/storage';
import { createHmac, randomBytes } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { STORE } from '../dependencies';
import { downloadPath } from './route';

/** An hour, as the hub's own links have: a client that tries again uses the first link. */
const seconds = 3600;
/** Whoever can read this can read every file beside it, so it opens no door that is not open. */
const secretKey = 'secrets/download-links';

export interface DownloadLink {
  sha256: string;
  path: string;
  /** Seconds since 1970. */
  expires: string;
  signature: string;
}

/** Short-lived URLs that read one file and need no key: the object store's own, or ours where it has no address. */
@Injectable()
export class Downloads {
  private secret: Promise<Buffer> | null = null;

  constructor(@Inject(STORE) private readonly store: ObjectStore) {}

  /** `origin`: how the client reaches this server, e.g. `https://lowrank.example`. */
  async urlOf({ sha256, path }: StoredFile, origin: string): Promise<string> {
    const signed = await this.store.signedUrl(blobKey(sha256), { seconds, filename: path });
    if (signed !== null) return signed;
    const expires = String(Math.floor(Date.now() / 1000) + seconds);
    const signature = await this.sign({ sha256, path, expires });
    return `${origin}${downloadPath}/${sha256}/${path}?${new URLSearchParams({ expires, signature })}`;
  }

  /** Error: unauthorized when the link is not ours, or has expired. */
  async verify(link: DownloadLink): Promise<void> {
    const isOurs = isSameSecret(link.signature, await this.sign(link));
    if (isOurs && Number(link.expires) * 1000 > Date.now()) return;
    throw new LowrankError('unauthorized', 'The link has expired, or nobody has signed it.', undefined, {
      help: 'Ask again for the file that it was given for.',
    });
  }

  private async sign({ sha256, path, expires }: Omit<DownloadLink, 'signature'>): Promise<string> {
    this.secret ??= this.readSecret().catch((error: unknown) => {
      this.secret = null;
      throw error;
    });
    return createHmac('sha256', await this.secret)
      .update(`${sha256}/${path}?${expires}`)
      .digest('hex');
  }

  /** One for all processes on the store, made by the first that needs it. */
  private async readSecret(): Promise<Buffer> {
    const made = randomBytes(32);
    if (await this.store.put(secretKey, made, { bytes: made.length, ifAbsent: true })) return made;
    return buffer((await this.store.get(secretKey)).body);
  }
}
