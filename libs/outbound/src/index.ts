export { AddressRules } from './addresses';
export { checkOutboundUrl, createPoster, type Poster, type PosterOptions } from './poster';
