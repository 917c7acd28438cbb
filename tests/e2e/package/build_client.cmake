# Installs BUILD into SCRATCH, builds the clients of CLIENTS against what was installed and runs them.
function(run)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE failed OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(failed)
    message(FATAL_ERROR "${ARGV}\n${output}")
  endif()
  set(output ${output} PARENT_SCOPE)
endfunction()

function(build_client name)
  run(${CMAKE_COMMAND} -S ${CLIENTS}/${name} -B ${SCRATCH}/${name} -G ${GENERATOR}
    -DCMAKE_BUILD_TYPE=${BUILD_TYPE} -DCMAKE_CXX_COMPILER=${COMPILER}
    -DCMAKE_PREFIX_PATH=${SCRATCH}/prefix -DWANTED_VERSION=${VERSION})
  run(${CMAKE_COMMAND} --build ${SCRATCH}/${name})
endfunction()

file(REMOVE_RECURSE ${SCRATCH})
run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${SCRATCH}/prefix)
run(${SCRATCH}/prefix/bin/psa-gen --version)

build_client(client)
run(${SCRATCH}/client/client)
if(NOT output STREQUAL "20 steps from sigma 1, norm 1\n")
  message(FATAL_ERROR "the client printed: ${output}")
endif()

build_client(c_client)
run(${SCRATCH}/c_client/c_client)
message(STATUS ${output})
run(${PYTHON} -B ${CLIENTS}/c_interface_test.py ${SCRATCH}/prefix/${LIBDIR}/libpsagen.so)
run(${CMAKE_COMMAND} -E env PSAGEN_CUDA_MODULE=${SCRATCH}/prefix/${LIBDIR}/libpsagen_cuda.so
  ${SCRATCH}/c_client/c_client cuda)
message(STATUS ${output})
