import { makeCertificate } from '@lowrank/testing';
import { describeCertificate, describeRows } from './parity-options';

it('says how far a result answers as it should, and on what rows', () => {
  expect(describeCertificate(makeCertificate({ rows: 4, tokens: 1234, klMean: 0.000_012 }))).toBe(
    'the same likeliest token in 99.50% of 1,234 tokens (4 rows held out), divergence 1.20e-5 nats',
  );
  expect(describeRows({ rows: 4, rowsFrom: 'training' })).toBe('4 rows of training, as none were held out');
  expect(describeRows({ rows: 4, rowsFrom: 'validation' })).toBe('4 rows of validation');
  expect(describeRows({ rows: 4 })).toBe('4 rows');
});
