// Messages as lines of a golden file, found and filled through their descriptors: a message or a
// field that somebody adds changes the file without anybody thinking of the test.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"
#include "server/meta/records.h"
#include "tests/compat/golden.h"

namespace cairn {

// Ours are nested half as deep; a message that holds itself would be filled without end.
inline constexpr int kMessageDepthMax = 8;

inline void Fill(google::protobuf::Message& message, int depth = 0);

// Sets a field to a value that its number decides, or adds one such value to a repeated one.
inline void FillField(google::protobuf::Message& message,
                      const google::protobuf::FieldDescriptor* field, int depth) {
  using google::protobuf::FieldDescriptor;
  const auto* reflection = message.GetReflection();
  const int number = field->number();
  const bool repeated = field->is_repeated();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_UINT32:
      repeated ? reflection->AddUInt32(&message, field, 1000 + number)
               : reflection->SetUInt32(&message, field, 1000 + number);
      break;
    case FieldDescriptor::CPPTYPE_UINT64:
      repeated ? reflection->AddUInt64(&message, field, 100'000 + number)
               : reflection->SetUInt64(&message, field, 100'000 + number);
      break;
    case FieldDescriptor::CPPTYPE_INT64:
      repeated ? reflection->AddInt64(&message, field, -number)
               : reflection->SetInt64(&message, field, -number);
      break;
    case FieldDescriptor::CPPTYPE_DOUBLE:
      repeated ? reflection->AddDouble(&message, field, number + 0.5)
               : reflection->SetDouble(&message, field, number + 0.5);
      break;
    case FieldDescriptor::CPPTYPE_BOOL:
      repeated ? reflection->AddBool(&message, field, true)
               : reflection->SetBool(&message, field, true);
      break;
    case FieldDescriptor::CPPTYPE_ENUM:
      repeated ? reflection->AddEnumValue(&message, field, 1)
               : reflection->SetEnumValue(&message, field, 1);
      break;
    case FieldDescriptor::CPPTYPE_STRING:
      repeated ? reflection->AddString(&message, field, std::string(field->name()))
               : reflection->SetString(&message, field, std::string(field->name()));
      break;
    case FieldDescriptor::CPPTYPE_MESSAGE:
      // A map's entry is a message with the fields `key` and `value`.
      Fill(repeated ? *reflection->AddMessage(&message, field)
                    : *reflection->MutableMessage(&message, field),
           depth + 1);
      break;
    default:
      FAIL() << field->full_name() << " has a type that this test does not know";
  }
}

// Sets every field at every depth. Of a oneof the last member stays.
inline void Fill(google::protobuf::Message& message, int depth) {
  ASSERT_LT(depth, kMessageDepthMax) << message.GetDescriptor()->full_name();
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    FillField(message, message.GetDescriptor()->field(i), depth);
  }
}

// The line of one filled message, which must also read back as it was.
inline std::string MessageLine(const std::string& name, const google::protobuf::Message& message) {
  const std::string bytes = SerializeRecord(message);
  const std::unique_ptr<google::protobuf::Message> parsed(message.New());
  EXPECT_TRUE(parsed->ParseFromString(bytes)) << name;
  EXPECT_EQ(parsed->DebugString(), message.DebugString());
  return GoldenLine(name, bytes);
}

// A line for each message of a .proto file; of one with oneofs, a line for each member of them.
inline std::string MessageLines(const google::protobuf::FileDescriptor* file) {
  std::string text;
  for (int i = 0; i < file->message_type_count(); ++i) {
    const auto* descriptor = file->message_type(i);
    const std::unique_ptr<google::protobuf::Message> message(
        google::protobuf::MessageFactory::generated_factory()->GetPrototype(descriptor)->New());
    Fill(*message);
    const std::string name(descriptor->name());
    if (descriptor->real_oneof_decl_count() == 0) text += MessageLine(name, *message);
    for (int oneof = 0; oneof < descriptor->real_oneof_decl_count(); ++oneof) {
      const auto* choice = descriptor->oneof_decl(oneof);
      for (int member = 0; member < choice->field_count(); ++member) {
        FillField(*message, choice->field(member), 0);
        text += MessageLine(StrCat(name, ".", choice->field(member)->name()), *message);
      }
    }
  }
  return text;
}

// A line "Enum.VALUE number" for each value of each enum of a .proto file.
inline std::string EnumLines(const google::protobuf::FileDescriptor* file) {
  std::string text;
  for (int i = 0; i < file->enum_type_count(); ++i) {
    const auto* descriptor = file->enum_type(i);
    for (int value = 0; value < descriptor->value_count(); ++value) {
      text += StrCat(descriptor->name(), ".", descriptor->value(value)->name(), " ",
                     descriptor->value(value)->number(), "\n");
    }
  }
  return text;
}

}  // namespace cairn
