import { type CreateJobInput } from '@lowrank/contracts';
import { Snippet } from '../../components/snippet';
import { snippetsOf } from './snippets';

/** The job as other programs would ask for it, to copy. */
export const RequestSnippet = ({ request }: { request: CreateJobInput }) => (
  <Snippet label="The request" tabs={snippetsOf(request, window.location.origin)} maxHeight={260} />
);
