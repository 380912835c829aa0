export { AddressRules } from './addresses';
export { checkOutboundUrl } from './agent';
export { download, type Downloaded, type DownloadOptions } from './download';
export { createPoster, type Poster, type PosterOptions } from './poster';
