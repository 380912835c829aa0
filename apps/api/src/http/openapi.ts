import { INestApplication } from '@nestjs/common';
import { DocumentBuilder, type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import { errorBodySchema } from '@lowrank/contracts';
import { cleanupOpenApiDoc, createZodDto } from 'nestjs-zod';

class ErrorBody extends createZodDto(errorBodySchema) {}

const description = `Fine-tune language models with QLoRA on your own machines.

Every route needs an API key, \`Authorization: Bearer lrk_…\`, or the session that signing in begins; except \`/health\`, signing in, and accepting an invitation. Errors have a stable \`code\`, say what was wrong and where, and what to do about it. Lists are newest first; pass the last id of a page as \`after\` for the next one.`;

/** The OpenAPI description of all routes, each with the error body as its default response. */
export function describeApi(app: INestApplication): OpenAPIObject {
  const options = new DocumentBuilder()
    .setTitle('Lowrank')
    .setDescription(description)
    .setVersion('1')
    .setOpenAPIVersion('3.1.0')
    .addBearerAuth({ type: 'http', scheme: 'bearer', description: 'An API key: lrk_…' }, 'apiKey')
    .addSecurityRequirements('apiKey')
    .addGlobalResponse({
      status: 'default',
      description: 'An error: stable code, what was wrong and where, what to do.',
      type: ErrorBody.Output,
    })
    .build();
  return cleanupOpenApiDoc(SwaggerModule.createDocument(app, options));
}

/** Serves the description at /docs-json and its pages at /docs. */
export function serveDocs(app: INestApplication): void {
  SwaggerModule.setup('docs', app, () => describeApi(app), { jsonDocumentUrl: 'docs-json' });
}
