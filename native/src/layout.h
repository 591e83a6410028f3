// Where things stand in the scratch memory that TypeScript and C++ share.
// native/index.ts repeats these numbers; test/unit/native.test.ts checks that both agree.
#pragma once
#include <cstdint>

namespace layout {

// RESULT: small answers of a call besides its return value.
constexpr int32_t kResult = 0;
constexpr int32_t kResultFailedSlot = kResult + 0;   // slot whose handle could not be opened, or -1
constexpr int32_t kResultReplyErrno = kResult + 4;   // errno of the last write of a reply, or 0
constexpr int32_t kResultOpenFd = kResult + 8;       // descriptor made by create
constexpr int32_t kResultWide = kResult + 16;        // one u64 (lseek, cookies)
constexpr int32_t kResultNext = kResult + 24;        // offset of the dirent after a batch
constexpr int32_t kResultTrouble = kResult + 32;      // what a guest did wrong (kTrouble...), or 0
constexpr int32_t kResultTroubleRing = kResult + 36;  // in which ring

// CREDS: u32 uid, gid, groups + 1 (0 = leave them), flags, then the groups.
constexpr int32_t kCreds = 256;
constexpr int32_t kMaxGroups = 60;
constexpr uint32_t kCredsKeepDacOverride = 1;

// INODE REFERENCES: how an operation reaches an inode.
// {i32 fd, i32 mountFd, struct file_handle with room for 128 bytes}
constexpr int32_t kSlotSize = 256;
constexpr int32_t kSlotFirst = 512;
constexpr int32_t kSlotSecond = kSlotFirst + kSlotSize;
constexpr int32_t kSlotThird = kSlotSecond + kSlotSize;

// Room for names that TypeScript builds itself.
constexpr int32_t kName = 1280;

// MAKING: u32 umask; i32 nameAt, valueAt, size of the security context (nameAt 0: none).
constexpr int32_t kMakingUmask = 1792;
constexpr int32_t kMakingContext = kMakingUmask + 4;

// IDENTITY RECORDS: what a lookup learned about one object.
constexpr int32_t kRecordErrno = 0;        // errno of open or statx, 0 when found
constexpr int32_t kRecordFd = 4;           // O_PATH descriptor left open, or -1
constexpr int32_t kRecordHandleErrno = 8;  // errno of name_to_handle_at; -1 when not asked
constexpr int32_t kRecordHandleMount = 12; // mount id told by name_to_handle_at
constexpr int32_t kRecordDirent = 16;      // its linux_dirent64 in the scratch (batches)
constexpr int32_t kRecordNameLength = 20;
constexpr int32_t kRecordElapsed = 24;  // ns from the receipt of the request to this answer
constexpr int32_t kRecordStat = 32;        // struct statx, 256 bytes
constexpr int32_t kRecordHandle = 288;     // struct file_handle, 8 + 128 bytes
constexpr int32_t kRecordSize = 448;

constexpr int32_t kRecord = 2048;       // the record of a single lookup
constexpr int32_t kProbeRecord = 2560;  // the record of a probe
constexpr int32_t kBatch = 4096;        // records of READDIRPLUS
constexpr int32_t kBatchRecords = 128;
constexpr int32_t kDirents = 65536;     // getdents64 buffer
constexpr int32_t kDirentsSize = 65536;

// REQUEST and REPLY. The kernel wants room for max_write + 4096 when /dev/fuse is read.
// WRITE's payload starts 80 bytes into a request: REQUEST stands 80 bytes before a page so that
// the payload is page aligned (O_DIRECT on the host wants that).
constexpr int32_t kRequest = 3 * 65536 - 80;
constexpr int32_t kRequestSize = (1 << 20) + 65536;
constexpr int32_t kReply = 3 * 65536 + kRequestSize + 4096 - 16;
constexpr int32_t kReplySize = (1 << 20) + 8192;
constexpr int32_t kScratchSize = kReply + kReplySize + 4096 + 16;

constexpr int32_t kHandleBytes = 128;  // MAX_HANDLE_SZ of the kernel

// An eventfd adds up what is written to it: from this sum on, one of the writers wanted to stop.
constexpr uint64_t kStopCount = 1ull << 32;

// What a guest can do wrong with a ring; see native/index.ts.
constexpr int32_t kTroubleChain = 1;
constexpr int32_t kTroubleHead = 2;
constexpr int32_t kTroubleRing = 3;
constexpr int32_t kTroubleRoom = 4;

// Flags of lookups.
constexpr int32_t kWantHandle = 1;
constexpr int32_t kKeepParent = 2;  // leave the opened parent in its slot, for the next call

// Flag of `compare`: also whether both are one inode of the kernel.
constexpr int32_t kCompareInodes = 1;

// Its answer: what differs.
constexpr int32_t kDiffersIno = 1;
constexpr int32_t kDiffersDev = 2;
constexpr int32_t kDiffersType = 4;
constexpr int32_t kDiffersBtime = 8;
constexpr int32_t kDiffersSubvol = 16;
constexpr int32_t kDiffersHandle = 32;
constexpr int32_t kDiffersInode = 64;
constexpr int32_t kDiffersNlink = 128;
constexpr int32_t kInodeUnknown = 256;  // it could not be told

}  // namespace layout
