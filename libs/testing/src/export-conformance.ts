import { type WorkKind } from '@lowrank/contracts';
import { randomIds } from '@lowrank/domain';
import { type Seeded } from './catalog-conformance';
import { makeCertificate, makeExportManifest, makeManifest } from './factories';
import { seedTeam } from './seed';

const day = (n: number) => new Date(Date.UTC(2026, 0, n)).toISOString();

/** The part of unitOfWorkConformance on what jobs do, and on exports. */
export function exportConformance(seeded: () => Seeded): void {
  let { unitOfWork, run, crew } = {} as Seeded;
  beforeEach(() => ({ unitOfWork, run, crew } = seeded()));

  const publish = async () => {
    const manifest = makeManifest(await crew.addJob());
    return run(({ adapters }) =>
      adapters.publish(crew.id, { id: randomIds.make('version'), manifest, at: day(2) }),
    );
  };

  describe('exports', () => {
    it('are of a version, one of each format, the last that was published', async () => {
      const version = await publish();
      const work = {
        ...{ kind: 'export' as const, format: 'merged' as const },
        version: { id: version.id, adapter: 'captain', number: 1, files: version.files },
        thresholds: { klMean: 1, agreement: 0 },
      };
      const [first, second, third] = [
        await crew.addJob({ work }),
        await crew.addJob({ work }),
        await crew.addJob({ work: { ...work, format: 'gguf-f16' } }),
      ];
      expect((await crew.job(first.id)).work).toEqual(work);
      expect((await crew.job(version.jobId ?? '')).work).toEqual({ kind: 'train' });
      const ofKind = (kind: WorkKind) => run(({ jobs }) => jobs.list(crew.id, { kind, limit: 10 }));
      expect((await ofKind('train')).data.map(({ id }) => id)).toEqual([version.jobId]);
      expect((await ofKind('export')).data).toHaveLength(3);
      expect((await ofKind('combine')).data).toEqual([]);
      const manifest = makeExportManifest(first, version.id);
      await run(({ exports }) => exports.publish(crew.id, manifest, day(3)));
      const facts = { adapter: 'captain', version: 1, certificate: makeCertificate(), bytes: 6_000_000_000 };
      const { files } = manifest;
      const merged = { ...facts, files, format: 'merged', jobId: first.id, createdAt: day(3) };
      const find = () => run(({ exports }) => exports.find(crew.id, 'captain', 1, 'merged'));
      expect(await find()).toEqual(merged);
      const changed = makeCertificate({ klMean: 0.25 });
      await run(async ({ exports }) => {
        await exports.publish(
          crew.id,
          makeExportManifest(third, version.id, { exportFormat: 'gguf-f16' }),
          day(4),
        );
        await exports.publish(
          crew.id,
          makeExportManifest(second, version.id, { certificate: changed }),
          day(5),
        );
        // Told once more, as by a worker that did not hear the answer.
        await exports.publish(crew.id, makeExportManifest(second, version.id), day(6));
      });
      const later = { ...merged, certificate: changed, jobId: second.id, createdAt: day(5) };
      const other = { ...merged, format: 'gguf-f16', jobId: third.id, createdAt: day(4) };
      const list = (team: string, number: number) =>
        run(({ exports }) => exports.list(team, 'captain', number));
      expect(await list(crew.id, 1)).toEqual([other, later]);
      expect(await list(crew.id, 2)).toEqual([]);
      const stranger = await seedTeam(unitOfWork, 'other');
      expect(await list(stranger.id, 1)).toEqual([]);
    });

    it('are nothing that a job is trained together with', async () => {
      const version = await publish();
      const lead = await crew.addJob();
      const alike = await crew.addJob();
      await crew.addJob({
        work: {
          ...{ kind: 'export', format: 'merged', thresholds: { klMean: 1, agreement: 0 } },
          version: { id: version.id, adapter: 'captain', number: 1, files: version.files },
        },
      });
      await run(async ({ jobs }) => {
        const record = await jobs.lock(lead.id);
        if (record === null) throw new Error('no lead');
        const ids = (await jobs.lockAlike(record, day(9), 10)).map(({ id }) => id);
        expect(ids).toContain(alike.id);
        expect(ids).toHaveLength(2);
      });
    });
  });
}
