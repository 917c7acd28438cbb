# Finds nvcc, the CUDA toolkit and cuDNN's headers where PSAGEN_CUDA asks for them: AUTO takes what is
# there, ON insists. Sets PSAGEN_HAS_CUDA.
set(PSAGEN_CUDA AUTO CACHE STRING "Build the CUDA back end: AUTO, ON or OFF")
set(PSAGEN_CUDA_ARCHITECTURES 80-real 90 CACHE STRING
  "Architectures of the portable kernels; the Hopper kernels are always for 90a")
set(PSAGEN_HAS_CUDA OFF)
if(PSAGEN_CUDA STREQUAL OFF)
  return()
endif()

# Looked at before the language is enabled, which would end the configuration where an older toolkit
# does not get on with the compiler.
find_program(PSAGEN_NVCC nvcc HINTS /usr/local/cuda/bin)
set(missing)
if(PSAGEN_NVCC)
  get_filename_component(PSAGEN_NVCC_ROOT ${PSAGEN_NVCC} REALPATH)
  get_filename_component(PSAGEN_NVCC_ROOT ${PSAGEN_NVCC_ROOT} DIRECTORY)
  get_filename_component(PSAGEN_NVCC_ROOT ${PSAGEN_NVCC_ROOT} DIRECTORY)
  set(CUDAToolkit_ROOT ${PSAGEN_NVCC_ROOT})
  find_package(CUDAToolkit 13 QUIET)
  if(NOT CUDAToolkit_FOUND OR NOT TARGET CUDA::cublasLt)
    list(APPEND missing "a CUDA toolkit of version 13 with cuBLAS")
  else()
    find_path(PSAGEN_CUDNN_INCLUDE_DIR cudnn_graph.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
    if(NOT PSAGEN_CUDNN_INCLUDE_DIR)
      list(APPEND missing "the headers of cuDNN 9")
    endif()
  endif()
else()
  list(APPEND missing "nvcc")
endif()

if(NOT missing)
  set(CMAKE_CUDA_COMPILER ${PSAGEN_NVCC})
  # An empty value would mean 75 or so.
  set(CMAKE_CUDA_ARCHITECTURES ${PSAGEN_CUDA_ARCHITECTURES})
  enable_language(CUDA)
  set(PSAGEN_HAS_CUDA ON)
  # CMake 3.25 does not know nvcc's flag for C++20.
  if(NOT DEFINED CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
  endif()
  message(STATUS "CUDA back end: built with ${PSAGEN_NVCC}")
elseif(PSAGEN_CUDA STREQUAL ON)
  message(FATAL_ERROR "PSAGEN_CUDA is ON, but there is no ${missing}")
else()
  message(STATUS "CUDA back end: left out, there is no ${missing}")
endif()
