# Everything the program links, found here and nowhere else: by this build, and again by whoever uses
# the installed libraries (psa-gen-config.cmake includes this file).
find_package(Threads REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(PkgConfig REQUIRED)
find_package(nlohmann_json REQUIRED)
pkg_check_modules(FFMPEG REQUIRED IMPORTED_TARGET libavformat libavcodec libavutil libswscale)
pkg_check_modules(HWY REQUIRED IMPORTED_TARGET libhwy)
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)
find_path(STB_INCLUDE_DIR stb_image_write.h PATH_SUFFIXES stb REQUIRED)

# A library found by header and name: psagen_found_library(TARGET HEADER LIBRARY). For those whose own
# package files cannot be used: find_package(dnnl) of Debian 12 fails without OpenCL headers, and
# sentencepiece.pc of Debian 13 asks for protobuf's development files, which nothing here needs.
function(psagen_found_library target header library)
  string(TOUPPER ${library} name)
  find_path(${name}_INCLUDE_DIR ${header} REQUIRED)
  find_library(${name}_LIBRARY ${library} REQUIRED)
  add_library(${target} INTERFACE IMPORTED GLOBAL)
  target_include_directories(${target} SYSTEM INTERFACE ${${name}_INCLUDE_DIR})
  target_link_libraries(${target} INTERFACE ${${name}_LIBRARY})
endfunction()
psagen_found_library(psagen_dnnl dnnl.hpp dnnl)
psagen_found_library(psagen_sentencepiece sentencepiece_processor.h sentencepiece)

if(PSAGEN_TESTS)
  find_package(GTest REQUIRED)
  if(PSAGEN_BENCHMARKS)
    find_package(benchmark REQUIRED)
  endif()
endif()
