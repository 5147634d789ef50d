// What services say in XML, right, wrong and hostile. Method: documents as they come from S3 and
// from others, damaged ones, and such as would make a careless reader allocate without end.
#include "server/tier/s3_xml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace cairn {
namespace {

using ::testing::HasSubstr;

constexpr char kPage[] =
    R"(<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><Prefix/>
<EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>
<NextContinuationToken>1&amp;2</NextContinuationToken>
<Contents><Key>a/b%20c+d%2Be</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified>
<ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag><Size>17</Size></Contents>
<CommonPrefixes><Prefix>x/</Prefix></CommonPrefixes>
<Contents><Key>b</Key><Size>0</Size></Contents></ListBucketResult>)";

TEST(ParseS3ListPage, KeysAreDecodedAndTimesRead) {
  const auto page = ParseS3ListPage(kPage);
  ASSERT_TRUE(page.ok()) << page.status();
  ASSERT_EQ(page->objects.size(), 2u);
  EXPECT_EQ(page->objects[0].key, "a/b c d+e");
  EXPECT_EQ(page->objects[0].size_bytes, 17u);
  EXPECT_EQ(page->objects[0].etag, "d41d8cd98f00b204e9800998ecf8427e");
  EXPECT_EQ(absl::ToUnixSeconds(page->objects[0].modified), 1767323045);
  EXPECT_EQ(page->objects[1].modified, absl::InfinitePast());
  EXPECT_TRUE(page->truncated);
  EXPECT_EQ(page->next_token, "1&2");
}

TEST(ParseS3ListPage, KeysThatAreNotEncodedStayAsTheyAre) {
  const auto page = ParseS3ListPage(
      "<s:ListBucketResult xmlns:s='x'><s:Contents><s:Key>a+%20</s:Key><s:Size>1</s:Size>"
      "</s:Contents></s:ListBucketResult>");
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_EQ(page->objects[0].key, "a+%20");
  EXPECT_FALSE(page->truncated);
}

TEST(ParseS3ListPage, EveryPrefixOfOneIsRefused) {
  const std::string page = kPage;
  for (size_t length = 0; length < page.size(); ++length) {
    EXPECT_EQ(ParseS3ListPage(page.substr(0, length)).status().code(),
              absl::StatusCode::kUnavailable)
        << length;
  }
}

TEST(ParseS3ListPage, WhatMakesNoSenseIsRefused) {
  for (const char* inside :
       {"<Contents><Key>a</Key></Contents>", "<Contents><Size>1</Size></Contents>",
        "<Contents><Key>a</Key><Size>-1</Size></Contents>",
        "<Contents><Key>a</Key><Size>99999999999999999999</Size></Contents>",
        "<IsTruncated>true</IsTruncated>",
        "<EncodingType>url</EncodingType><Contents><Key>%</Key><Size>1</Size></Contents>"}) {
    EXPECT_FALSE(
        ParseS3ListPage(std::string("<ListBucketResult>") + inside + "</ListBucketResult>").ok())
        << inside;
  }
}

TEST(ParseS3ListPage, AnHtmlPageIsRefused) {
  const auto page = ParseS3ListPage("<html><body><h1>It works!</h1></body></html>");
  EXPECT_THAT(std::string(page.status().message()), HasSubstr("no S3 service"));
}

TEST(ParseS3Error, EntitiesAreNotExpanded) {
  // Ten times ten times ... "lol": gigabytes for who expands it.
  std::string xml = "<!DOCTYPE lolz [<!ENTITY lol0 \"lol\">";
  for (int i = 1; i < 10; ++i) {
    xml += "<!ENTITY lol" + std::to_string(i) + " \"";
    for (int j = 0; j < 10; ++j) xml += "&lol" + std::to_string(i - 1) + ";";
    xml += "\">";
  }
  xml += "]><Error><Code>&lol9;</Code><Message>&x;</Message></Error>";
  const auto error = ParseS3Error(xml);
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->code, "&lol9;");
}

TEST(ParseS3Error, ExternalEntitiesAreNotRead) {
  const auto error = ParseS3Error(
      "<!DOCTYPE e [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><Error><Code>&x;</Code></Error>");
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->code, "&x;");
}

TEST(ParseS3Error, DeepNestingIsHarmless) {
  std::string xml = "<Error>";
  for (int i = 0; i < 1'000'000; ++i) xml += "<a>";
  EXPECT_FALSE(ParseS3Error(xml).has_value());
  for (int i = 0; i < 1'000'000; ++i) xml += "</a>";
  EXPECT_TRUE(ParseS3Error(xml + "</Error>").has_value());
}

TEST(ParseS3Error, HugeDocumentsAreNotRead) {
  EXPECT_FALSE(ParseS3Error("<Error>" + std::string(20 << 20, ' ') + "</Error>").has_value());
}

TEST(ParseS3Error, LongTextsAreCut) {
  const auto error =
      ParseS3Error("<Error><Message>" + std::string(100'000, 'x') + "</Message></Error>");
  ASSERT_TRUE(error.has_value());
  EXPECT_LE(error->message.size(), 500u);
}

TEST(ParseS3Completed, BlanksBeforeIt) {
  EXPECT_EQ(*ParseS3Completed(
                "   \n  <?xml version=\"1.0\"?><CompleteMultipartUploadResult><ETag>\"a-2\"</ETag>"
                "</CompleteMultipartUploadResult>"),
            "a-2");
}

TEST(ParseS3Completed, AnErrorIsNone) {
  const std::string xml = "<Error><Code>InternalError</Code><Message>m</Message></Error>";
  EXPECT_FALSE(ParseS3Completed(xml).ok());
  EXPECT_EQ(ParseS3Error(xml)->code, "InternalError");
}

TEST(ParseS3UploadId, AnEmptyOneIsRefused) {
  EXPECT_FALSE(
      ParseS3UploadId("<InitiateMultipartUploadResult><UploadId/></InitiateMultipartUploadResult>")
          .ok());
  EXPECT_EQ(*ParseS3UploadId("<InitiateMultipartUploadResult><UploadId>u</UploadId>"
                             "</InitiateMultipartUploadResult>"),
            "u");
}

TEST(ParseS3DeleteResult, ErrorsAreNamed) {
  const auto errors = ParseS3DeleteResult(
      "<DeleteResult><Deleted><Key>a</Key></Deleted><Error><Key>b&amp;c</Key>"
      "<Code>AccessDenied</Code></Error></DeleteResult>");
  ASSERT_TRUE(errors.ok()) << errors.status();
  ASSERT_EQ(errors->size(), 1u);
  EXPECT_EQ((*errors)[0].key, "b&c");
  EXPECT_EQ((*errors)[0].error.code, "AccessDenied");
}

TEST(MakeS3Delete, KeysAreEscaped) {
  EXPECT_THAT(MakeS3Delete(std::vector<std::string>{"a&b<c>\"d'"}),
              HasSubstr("<Key>a&amp;b&lt;c&gt;\"d'</Key>"));
}

TEST(MakeS3Complete, PartsAreNumberedFromOne) {
  EXPECT_THAT(MakeS3Complete(std::vector<std::string>{"x", "y"}),
              HasSubstr("<Part><PartNumber>1</PartNumber><ETag>\"x\"</ETag></Part>"
                        "<Part><PartNumber>2</PartNumber><ETag>\"y\"</ETag></Part>"));
}

TEST(PlainEtag, QuotesAndWeaknessGo) {
  EXPECT_EQ(PlainEtag("\"a\""), "a");
  EXPECT_EQ(PlainEtag("W/\"a\""), "a");
  EXPECT_EQ(PlainEtag("a"), "a");
  EXPECT_EQ(PlainEtag("\""), "\"");
}

}  // namespace
}  // namespace cairn
