export { AddressRules } from './addresses';
export { checkOutboundUrl } from './agent';
export { download, type Downloaded, type DownloadOptions } from './download';
export { type GuardedFetch, guardedFetch } from './guarded-fetch';
export { createPoster, type Poster, type PosterOptions } from './poster';
