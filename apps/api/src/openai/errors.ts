import { ApiDefaultResponse } from '@nestjs/swagger';
import { LowrankError, openAiErrorSchema } from '@lowrank/contracts';
import { createZodDto } from 'nestjs-zod';

const openAiPath = /^\/v1(?:[/?]|$)/;
/** Whether a URL is one of OpenAI's API, whose errors have a shape of their own. */
export const isOpenAiUrl = (url: string): boolean => openAiPath.test(url);

/** The clients try again by themselves what will not get better by itself, unless they are told. */
export const openAiErrorHeaders = ({ status, code }: LowrankError): Record<string, string> =>
  status === 409 || code === 'quota_exceeded' || code === 'integrity_failed'
    ? { 'x-should-retry': 'false' }
    : {};

class OpenAiErrorDto extends createZodDto(openAiErrorSchema) {}

/** Describes the errors of a controller's routes. */
export const ApiOpenAiError = () =>
  ApiDefaultResponse({
    description: "An error, as OpenAI's clients read it.",
    type: OpenAiErrorDto.Output,
  });
