# Everything the program links, found here and nowhere else.
find_package(Threads REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(PkgConfig REQUIRED)
find_package(nlohmann_json REQUIRED)
pkg_check_modules(SENTENCEPIECE REQUIRED IMPORTED_TARGET sentencepiece)
pkg_check_modules(FFMPEG REQUIRED IMPORTED_TARGET libavformat libavcodec libavutil libswscale)
pkg_check_modules(HWY REQUIRED IMPORTED_TARGET libhwy)
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)
find_path(STB_INCLUDE_DIR stb_image_write.h PATH_SUFFIXES stb REQUIRED)

# find_package(dnnl) of Debian 12 fails without OpenCL headers, so oneDNN is found by hand.
find_path(DNNL_INCLUDE_DIR dnnl.hpp REQUIRED)
find_library(DNNL_LIBRARY dnnl REQUIRED)
add_library(psagen_dnnl INTERFACE)
target_include_directories(psagen_dnnl SYSTEM INTERFACE ${DNNL_INCLUDE_DIR})
target_link_libraries(psagen_dnnl INTERFACE ${DNNL_LIBRARY})

if(PSAGEN_TESTS)
  find_package(GTest REQUIRED)
  if(PSAGEN_BENCHMARKS)
    find_package(benchmark REQUIRED)
  endif()
endif()
