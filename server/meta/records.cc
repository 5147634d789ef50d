#include "server/meta/records.h"

#include "common/base/strings.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"

namespace cairn {

std::string SerializeRecord(const google::protobuf::MessageLite& record) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    record.SerializeToCodedStream(&coded);
  }
  return bytes;
}

absl::Status ParseRecord(ColumnFamily family, std::string_view bytes,
                         google::protobuf::MessageLite& record) {
  if (record.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return absl::OkStatus();
  return absl::DataLossError(
      StrCat("metadata: a record of family \"", MetaFamilyNames()[family], "\" is damaged"));
}

}  // namespace cairn
