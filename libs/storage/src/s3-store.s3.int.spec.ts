import {
  CreateBucketCommand,
  DeleteBucketCommand,
  ListMultipartUploadsCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { codeOf, objectStoreConformance } from '@lowrank/testing';
import { randomBytes, randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { type AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { S3Store } from './s3-store';

const endpoint = process.env.TEST_S3_ENDPOINT ?? '';
const credentials = {
  accessKeyId: process.env.TEST_S3_ACCESS_KEY_ID ?? 'test',
  secretAccessKey: process.env.TEST_S3_SECRET_ACCESS_KEY ?? 'test-secret',
};
const settings = (bucket: string) => ({
  endpoint,
  region: 'us-east-1',
  bucket,
  ...credentials,
  forcePathStyle: true,
});
const describeWithServer = endpoint ? describe : describe.skip;

/** A new bucket on the test server, and how to remove it with all that is in it. */
async function makeBucket() {
  const client = new S3Client({ endpoint, region: 'us-east-1', credentials, forcePathStyle: true });
  const bucket = `lowrank-test-${randomUUID()}`;
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  const close = async () => {
    const store = new S3Store(settings(bucket));
    for (const prefix of ['a/', 'l/', 'll/', 'race/', 'f/', 'staging/']) {
      for await (const key of store.list(prefix)) await store.delete(key);
    }
    await client.send(new DeleteBucketCommand({ Bucket: bucket }));
    client.destroy();
  };
  return { client, bucket, close };
}

/** Passes requests on to the test server, except where a fault answers or breaks the response first. */
type Fault = (incoming: IncomingMessage, answer: ServerResponse) => 'pass' | 'answered' | 'cut';

async function startFaultyProxy(fault: Fault) {
  const target = new URL(endpoint);
  const server = createServer((incoming, answer) => {
    const kind = fault(incoming, answer);
    if (kind === 'answered') {
      incoming.resume();
      return;
    }
    const forward = request(
      {
        host: target.hostname,
        port: target.port,
        method: incoming.method,
        path: incoming.url,
        headers: incoming.headers,
      },
      (response) => {
        answer.writeHead(response.statusCode ?? 500, response.headers);
        if (kind === 'pass') response.pipe(answer);
        // Half a megabyte is more than the first chunk and less than the whole.
        else {
          let seen = 0;
          response.on('data', (chunk: Buffer) => {
            seen += chunk.length;
            if (seen < 2 ** 19) answer.write(chunk);
            else answer.destroy();
          });
        }
      },
    );
    incoming.pipe(forward);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const stop = async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return { url: `http://127.0.0.1:${port}`, stop };
}

describeWithServer('S3Store', () => {
  objectStoreConformance('a bucket', async () => {
    const { bucket, close } = await makeBucket();
    return { store: new S3Store(settings(bucket)), close };
  });

  it('lets somebody without a key send one part for a while, to a signed address', async () => {
    const { bucket, close } = await makeBucket();
    const store = new S3Store(settings(bucket));
    const key = 'staging/signed';
    const upload = await store.beginParts(key);
    const url = await store.signedPart({ key, upload, number: 1 }, { bytes: 5, seconds: 900 });
    const query = new URL(url).searchParams;
    expect([query.get('X-Amz-Expires'), query.get('X-Amz-SignedHeaders')]).toEqual([
      '900',
      'content-length;host',
    ]);
    // A checksum of what the server knows, which is nothing, would refuse what comes.
    expect([...query.keys()].filter((name) => /checksum/i.test(name))).toEqual([]);
    expect((await fetch(url, { method: 'PUT', body: 'hello' })).status).toBe(200);
    expect(await store.parts({ key, upload })).toEqual([{ number: 1, bytes: 5 }]);
    await store.completeParts({ key, upload });
    expect((await buffer((await store.get(key)).body)).toString()).toBe('hello');
    await close();
  });

  describe('on a server with troubles', () => {
    let made: Awaited<ReturnType<typeof makeBucket>>;
    beforeAll(async () => (made = await makeBucket()));
    afterAll(() => made.close());

    /** Runs `work` on a store that reaches the server through a proxy with that fault. */
    async function through<T>(fault: Fault, work: (store: S3Store) => Promise<T>): Promise<T> {
      const proxy = await startFaultyProxy(fault);
      try {
        return await work(new S3Store({ ...settings(made.bucket), endpoint: proxy.url }));
      } finally {
        await proxy.stop();
      }
    }

    it.each([500, 503])(
      'goes on after answers of %i, also in the middle of a long upload',
      async (status) => {
        const content = randomBytes(17 * 2 ** 20);
        let requests = 0;
        let refused = 0;
        const everySecond: Fault = (_incoming, answer) => {
          if (requests++ % 2 === 1) return 'pass';
          refused++;
          answer.writeHead(status).end();
          return 'answered';
        };
        await through(everySecond, async (store) => {
          await store.put('f/long', Readable.from([content]), { bytes: content.length });
          expect((await buffer((await store.get('f/long')).body)).equals(content)).toBe(true);
        });
        expect(refused).toBeGreaterThan(4);
      },
    );

    it('tries again after a 409 of a conditional write', async () => {
      let conflicts = 0;
      const twice: Fault = (incoming, answer) => {
        if (incoming.method !== 'PUT' || conflicts >= 2) return 'pass';
        conflicts++;
        answer
          .writeHead(409, { 'content-type': 'application/xml' })
          .end('<Error><Code>ConditionalRequestConflict</Code></Error>');
        return 'answered';
      };
      const won = await through(twice, (store) =>
        store.put('f/conflict', Buffer.from('x'), { bytes: 1, ifAbsent: true }),
      );
      expect([won, conflicts]).toEqual([true, 2]);
    });

    it('knows its own object when the answer to a conditional write got lost', async () => {
      let lost = 0;
      const loseFirst: Fault = (incoming) => (incoming.method === 'PUT' && lost++ === 0 ? 'cut' : 'pass');
      const proxied = await through(
        (incoming, answer) => {
          const kind = loseFirst(incoming, answer);
          // Nothing of the answer arrives, although the server has done its work.
          if (kind === 'cut') answer.writeHead = () => answer.destroy();
          return kind;
        },
        (store) => store.put('f/lost', Buffer.from('x'), { bytes: 1, ifAbsent: true }),
      );
      expect([proxied, lost]).toEqual([true, 2]);
    });

    it('goes on reading from where the connection broke', async () => {
      const content = randomBytes(2 * 2 ** 20);
      await new S3Store(settings(made.bucket)).put('f/cut', content, { bytes: content.length });
      let cuts = 0;
      const cutTwice: Fault = (incoming) => (incoming.method === 'GET' && cuts++ < 2 ? 'cut' : 'pass');
      const read = await through(cutTwice, async (store) => buffer((await store.get('f/cut')).body));
      expect(read.equals(content)).toBe(true);
      expect(cuts).toBe(3);
    });

    it('leaves no parts of a failed long upload', async () => {
      const store = new S3Store(settings(made.bucket));
      const short = Readable.from([Buffer.alloc(17 * 2 ** 20)]);
      expect(await codeOf(store.put('f/parts', short, { bytes: 2 ** 25 }))).toBe('validation_failed');
      const listed = await made.client.send(new ListMultipartUploadsCommand({ Bucket: made.bucket }));
      expect(listed.Uploads ?? []).toEqual([]);
    });

    it('says store_unavailable when nobody answers, the bucket is missing or conditions are ignored', async () => {
      const proxy = await startFaultyProxy(() => 'pass');
      await proxy.stop();
      const nobody = new S3Store({ ...settings(made.bucket), endpoint: proxy.url, maxAttempts: 2 });
      expect(await codeOf(nobody.probe())).toBe('store_unavailable');
      expect(await codeOf(nobody.get('f/x'))).toBe('store_unavailable');
      expect(await codeOf(new S3Store(settings('no-such-bucket-here')).probe())).toBe('store_unavailable');
      const dropCondition: Fault = (incoming) => {
        delete incoming.headers['if-none-match'];
        return 'pass';
      };
      await expect(through(dropCondition, (store) => store.probe())).rejects.toThrow('conditional writes');
    });
  });
});
