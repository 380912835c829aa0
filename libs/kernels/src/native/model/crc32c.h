// CRC-32C (Castagnoli, polynomial 0x1EDC6F41 reflected), as in iSCSI (RFC 3720, appendix B.4).
#pragma once
#include <cstddef>
#include <cstdint>

namespace lr {

// CRC of bytes appended to data whose CRC is `previous` (0 to begin).
uint32_t crc32c(const void* data, size_t bytes, uint32_t previous = 0);

}  // namespace lr
