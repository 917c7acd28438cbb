# psagen_library(NAME): a static library psagen_NAME with alias psagen::NAME; sources are added by the
# CMakeLists.txt of each folder through target_sources.
function(psagen_library name)
  add_library(psagen_${name} STATIC)
  add_library(psagen::${name} ALIAS psagen_${name})
  target_compile_features(psagen_${name} PUBLIC cxx_std_20)
  set_target_properties(psagen_${name} PROPERTIES CXX_EXTENSIONS OFF POSITION_INDEPENDENT_CODE ON)
  target_include_directories(psagen_${name} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>)
  psagen_warnings(psagen_${name})
endfunction()

# psagen_test(NAME SOURCES a.cc ... LIBRARIES psagen::x ... [LABELS ...]): one GoogleTest program,
# its cases found by ctest. The label defaults to the suite folder (unit, parity, golden, ...).
function(psagen_test name)
  cmake_parse_arguments(TEST "" "" "SOURCES;LIBRARIES;LABELS" ${ARGN})
  add_executable(${name} ${TEST_SOURCES})
  target_link_libraries(${name} PRIVATE ${TEST_LIBRARIES} GTest::gtest GTest::gmock GTest::gtest_main)
  target_compile_features(${name} PRIVATE cxx_std_20)
  set_target_properties(${name} PROPERTIES CXX_EXTENSIONS OFF)
  target_compile_definitions(${name} PRIVATE PSAGEN_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  psagen_warnings(${name})
  if(NOT TEST_LABELS)
    file(RELATIVE_PATH label ${PROJECT_SOURCE_DIR}/tests ${CMAKE_CURRENT_SOURCE_DIR})
    string(REGEX REPLACE "/.*" "" TEST_LABELS ${label})
  endif()
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS "${TEST_LABELS}")
endfunction()
